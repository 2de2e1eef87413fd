# The state machine's definition: plan a run, score its parts, count them. In JSONPath, because the parts are read from S3.

locals {
  # What goes away by itself. FULL jitter spreads the attempts of many parts.
  busy = {
    ErrorEquals = [
      "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.ClientExecutionTimeoutException",
      "StoreError", "ModelNotReadyError", "RetryLaterError", "ResourceMissingError",
    ]
    IntervalSeconds = 2
    BackoffRate     = 2
    MaxDelaySeconds = 60
    MaxAttempts     = 10
    JitterStrategy  = "FULL"
  }

  # More parts than the account runs at the same time wait for their turn: half a minute on average, for two days. An attempt
  # makes three events of the 25,000 that a part's history may have.
  throttled = {
    ErrorEquals     = ["Lambda.TooManyRequestsException"]
    IntervalSeconds = 1
    BackoffRate     = 2
    MaxDelaySeconds = 60
    MaxAttempts     = 6000
    JitterStrategy  = "FULL"
  }

  # Lambda ends a function that needs too much time or memory. Once more, in case it was the machine's fault.
  crashed = {
    ErrorEquals     = ["Lambda.Unknown", "Sandbox.Timedout", "States.Timeout"]
    IntervalSeconds = 5
    MaxAttempts     = 1
  }

  # Longer than any function runs: a lost answer does not keep a run open for ever.
  invoke_seconds = 960

  score_part = {
    StartAt = "Part"
    States = {
      Part = {
        Type           = "Task"
        Resource       = "arn:${local.partition}:states:::lambda:invoke"
        TimeoutSeconds = local.invoke_seconds
        Parameters     = { "FunctionName.$" = "$.function_arn", "Payload.$" = "$.request" }
        Retry          = [local.throttled, local.busy, local.crashed]
        Catch          = [{ ErrorEquals = ["States.ALL"], ResultPath = "$.failure", Next = "Record" }]
        ResultSelector = { "outcome.$" = "$.Payload.shearling" }
        Next           = "Answered"
      }
      Answered = {
        Type    = "Choice"
        Choices = [for outcome in ["scored", "unchanged"] : { Variable = "$.outcome", StringEquals = outcome, Next = "Scored" }]
        Default = "Refused"
      }
      Scored  = { Type = "Succeed" }
      Refused = { Type = "Fail", Error = "PartRefused", Cause = "The function has written the reason beside the output." }
      # As the function does for a part that it refuses: the end of the run finds it, and a part that is scored later removes it.
      Record = {
        Type     = "Task"
        Resource = "arn:${local.partition}:states:::aws-sdk:s3:putObject"
        Parameters = {
          "Bucket.$"  = "$.request.output.bucket"
          "Key.$"     = "States.Format('{}.error.json', $.request.output.key)"
          ContentType = "application/json"
          Body = {
            shearling  = "failed"
            "source.$" = "$.request.source"
            "output.$" = "$.request.output"
            error      = { "message.$" = "States.Format('the function ended early: {}: {}', $.failure.Error, $.failure.Cause)" }
          }
        }
        Retry      = [{ ErrorEquals = ["States.ALL"], IntervalSeconds = 2, BackoffRate = 2, MaxAttempts = 5, JitterStrategy = "FULL" }]
        ResultPath = null
        Next       = "PartFailed"
      }
      PartFailed = { Type = "Fail", ErrorPath = "$.failure.Error", CausePath = "$.failure.Cause" }
    }
  }

  definition = {
    Comment = "Scores the parts of the objects that a run names, with one version of a model's function."
    StartAt = "Plan"
    States = {
      Plan = {
        Type           = "Task"
        Resource       = "arn:${local.partition}:states:::lambda:invoke"
        TimeoutSeconds = local.invoke_seconds
        Parameters = {
          FunctionName = local.planner_arn
          Payload = {
            shearling     = "plan"
            "run.$"       = "$$.Execution.Input"
            "execution.$" = "$$.Execution.Name"
            "began.$"     = "$$.Execution.StartTime"
          }
        }
        Retry          = [local.throttled, local.busy]
        ResultSelector = { "plan.$" = "$.Payload" }
        Next           = "Score"
      }
      Score = {
        Type  = "Map"
        Label = "Score"
        ItemReader = {
          Resource     = "arn:${local.partition}:states:::s3:getObject"
          ReaderConfig = { InputType = "JSONL" }
          Parameters   = { "Bucket.$" = "$.plan.bucket", "Key.$" = "States.Format('{}plan.jsonl', $.plan.folder)" }
        }
        ItemSelector = {
          "function_arn.$" = "$.plan.function_arn"
          "request.$"      = "$$.Map.Item.Value"
        }
        MaxConcurrencyPath             = "$.plan.max_concurrency"
        ToleratedFailurePercentagePath = "$.plan.tolerated_failure_percentage"
        ItemProcessor                  = merge({ ProcessorConfig = { Mode = "DISTRIBUTED", ExecutionType = "STANDARD" } }, local.score_part)
        # Not in the state, which has room for the results of some ten thousand parts.
        ResultWriter = {
          Resource   = "arn:${local.partition}:states:::s3:putObject"
          Parameters = { "Bucket.$" = "$.plan.bucket", "Prefix.$" = "States.Format('{}results', $.plan.folder)" }
        }
        ResultPath = null
        Catch      = [{ ErrorEquals = ["States.ALL"], ResultPath = "$.failure", Next = "Finish" }]
        Next       = "Finish"
      }
      Finish = {
        Type           = "Task"
        Resource       = "arn:${local.partition}:states:::lambda:invoke"
        TimeoutSeconds = local.invoke_seconds
        Parameters = {
          FunctionName = local.planner_arn
          Payload      = { shearling = "finish", "run.$" = "$$.Execution.Input", "state.$" = "$" }
        }
        Retry          = [local.throttled, local.busy]
        ResultSelector = { "summary.$" = "$.Payload" }
        OutputPath     = "$.summary"
        Next           = "Decide"
      }
      Decide = {
        Type    = "Choice"
        Choices = [{ Variable = "$.status", StringEquals = "succeeded", Next = "Succeeded" }]
        Default = "Failed"
      }
      Succeeded = { Type = "Succeed" }
      Failed    = { Type = "Fail", Error = "RunFailed", CausePath = "$.reason" }
    }
  }
}
