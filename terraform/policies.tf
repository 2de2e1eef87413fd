# IAM policies for invoking a model by one alias, directly and through the APIs, for listing models and for pruning.

locals {
  aliases = merge([
    for name, model in module.inputs.models : {
      for alias in keys(model.aliases) : "${name}:${alias}" => {
        model = name
        alias = alias
        arn   = module.function[name].alias_arns[alias]
        paths = concat(
          ["/versions/${alias}", "/versions/${alias}/*"],
          # Listed one by one, because `*` would also match `/versions/` of the other aliases.
          alias == local.default_aliases[name] ? ["", "/docs", "/infer", "/openapi.json", "/ready"] : [],
        )
      }
    }
  ]...)

  prune_policy_json = length(local.efs_models) == 0 ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadPins"
        Effect   = "Allow"
        Action   = ["lambda:GetFunctionConfiguration", "lambda:ListVersionsByFunction"]
        Resource = flatten([for name in local.efs_models : [module.function[name].function_arn, "${module.function[name].function_arn}:*"]])
      },
      {
        Sid      = "Prune"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = module.file_system[0].stager_arn
      },
    ]
  })

  stage_arns = concat(module.api[*].stage_arn, module.rest_api[*].stage_arn)

  catalog_policy_json = length(local.stage_arns) == 0 ? null : jsonencode({
    Version = "2012-10-17"
    Statement = flatten([
      for policy in concat(module.api[*].catalog_policy, module.rest_api[*].catalog_policy) : jsondecode(policy).Statement
    ])
  })

  invoke_policies_json = {
    for key, target in local.aliases : key => jsonencode({
      Version = "2012-10-17"
      Statement = concat(
        [
          {
            Sid      = "InvokeAlias"
            Effect   = "Allow"
            Action   = "lambda:InvokeFunction"
            Resource = target.arn
          },
        ],
        length(local.stage_arns) == 0 ? [] : [
          {
            Sid      = "CallApi"
            Effect   = "Allow"
            Action   = "execute-api:Invoke"
            Resource = [for pair in setproduct(local.stage_arns, target.paths) : "${pair[0]}/*/v2/models/${target.model}${pair[1]}"]
          },
        ],
      )
    })
  }
}
