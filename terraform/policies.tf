# IAM policies for invoking a model by one alias, directly and through the APIs, for listing models and for pruning.

data "aws_partition" "current" {}

locals {
  # Every function, by name. The stager belongs to the module of the file system, and its outputs have its name.
  every_function = merge(
    { for function in values(module.function) : function.function_name => function },
    { (module.releaser.function_name) = module.releaser },
    { for catalog in module.catalog : catalog.function_name => catalog },
    { for file_system in module.file_system : file_system.stager_name => {
      role_arn       = file_system.stager_role_arn
      role_policies  = file_system.stager_role_policies
      log_group_name = file_system.stager_log_group_name
    } },
    { for batch in module.batch : batch.planner_name => {
      role_arn       = batch.planner_role_arn
      role_policies  = batch.planner_role_policies
      log_group_name = batch.planner_log_group_name
    } },
    { for batch in module.batch : "${var.name}_batch" => batch },
  )

  aliases = merge([
    for name, model in module.inputs.models : {
      for alias in keys(model.aliases) : "${name}:${alias}" => {
        model = name
        alias = alias
        arn   = module.function[name].alias_arns[alias]
        # Methods and paths one by one: `*` also matches slashes, so it would match the paths of other models and aliases.
        calls = flatten([
          [for method in ["GET", "HEAD", "POST"] : "${method}/v2/models/${name}/versions/${alias}/*"],
          [
            for path in concat(["/versions/${alias}"], alias == local.default_aliases[name] ? ["", "/docs", "/openapi.json", "/ready"] : []) :
            ["GET/v2/models/${name}${path}", "HEAD/v2/models/${name}${path}"]
          ],
          alias == local.default_aliases[name] ? ["POST/v2/models/${name}/infer"] : [],
          model.jobs == null ? [] : concat(
            ["DELETE/v2/models/${name}/versions/${alias}/jobs/*"],
            alias != local.default_aliases[name] ? [] : concat(
              ["POST/v2/models/${name}/jobs"],
              [for method in ["GET", "HEAD", "DELETE"] : "${method}/v2/models/${name}/jobs/*"],
            ),
          ),
        ])
      }
    }
  ]...)

  prune_policy_json = length(local.efs_models) == 0 ? null : jsonencode({
    Version = "2012-10-17"
    Statement = concat([
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
      ],
      # The pin is an environment variable.
      [
        for arn in compact([module.inputs.kms.environment_key_arn]) : {
          Sid       = "DecryptPins"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = arn
          Condition = { StringLike = { "kms:ViaService" = "lambda.*.${data.aws_partition.current.dns_suffix}" } }
        }
    ])
  })

  # Only IAM authorization asks for a permission: a token, a key or nothing at all admits the callers of other APIs.
  signed_apis = concat(
    [for api in module.api : api if try(module.inputs.api.authorization, null) == "AWS_IAM"],
    [for api in module.rest_api : api if try(module.inputs.rest_api.authorization, null) == "AWS_IAM"],
  )

  catalog_policy_json = length(local.signed_apis) == 0 ? null : jsonencode({
    Version   = "2012-10-17"
    Statement = flatten([for api in local.signed_apis : jsondecode(api.catalog_policy).Statement])
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
        length(local.signed_apis) == 0 ? [] : [
          {
            Sid      = "CallApi"
            Effect   = "Allow"
            Action   = "execute-api:Invoke"
            Resource = flatten([for api in local.signed_apis : [for call in target.calls : "${api.stage_arn}/${call}"]])
          },
        ],
      )
    })
  }
}
