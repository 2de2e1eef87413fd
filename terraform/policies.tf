# Who may invoke a model: one alias, directly and through the APIs.

locals {
  aliases = merge([
    for name, model in var.models : {
      for alias in keys(model.aliases) : "${name}:${alias}" => {
        model = name
        alias = alias
        arn   = module.function[name].alias_arns[alias]
        paths = concat(
          ["/versions/${alias}", "/versions/${alias}/*"],
          # Spelled out: `*` would reach into `/versions/` of the other aliases.
          alias == local.default_aliases[name] ? ["", "/docs", "/infer", "/openapi.json", "/ready"] : [],
        )
      }
    }
  ]...)

  prune_policy_json = length(local.mounted) == 0 ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "SeeWhatIsPinned"
        Effect   = "Allow"
        Action   = ["lambda:GetFunctionConfiguration", "lambda:ListVersionsByFunction"]
        Resource = flatten([for name in local.mounted : [module.function[name].function_arn, "${module.function[name].function_arn}:*"]])
      },
      {
        Sid      = "Prune"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = module.stager[0].function_arn
      },
    ]
  })

  stage_arns = concat(module.api[*].stage_arn, module.rest_api[*].stage_arn)

  index_policy_json = length(local.stage_arns) == 0 ? null : jsonencode({
    Version = "2012-10-17"
    Statement = flatten([
      for policy in concat(module.api[*].index_policy_json, module.rest_api[*].index_policy_json) : jsondecode(policy).Statement
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
