# The types of the composed module's inputs. Its own variables have the type `any`, because Terraform drops attributes that
# an object type does not have without a word: they refuse unknown attributes first, and then pass on to these.

variable "models" {
  type = map(object({
    aliases = map(object({
      provisioned_concurrency = optional(number) # sandboxes that Lambda keeps ready, billed by the hour
    }))
    default_alias        = optional(string) # answers API paths without a version; needed with several aliases and an API
    memory_mb            = optional(number, 1024)
    timeout_seconds      = optional(number, 30)
    ephemeral_storage_mb = optional(number, 512) # /tmp, which holds the bundle
    reserved_concurrency = optional(number)      # invocations at the same time at most, reserved from the account's limit
    snap_start           = optional(bool, false)
    allow_pickle         = optional(bool, false) # load cloudpickle bundles, which run their author's code
    endpoint_name        = optional(string)      # a SageMaker endpoint that serves the model instead of the function
    sagemaker = optional(object({                # SageMaker endpoints that this module makes serve the model instead of the function
      image_uri     = optional(string)           # of the container, with its digest; null: endpoint_image_uri
      instance_type = optional(string)           # as in ml.m5.xlarge; needed without serverless
      instances = optional(object({
        min    = optional(number, 1)
        max    = optional(number) # null: min
        target = optional(number) # calls a minute and instance that the number follows; null: 600
      }))
      serverless = optional(object({
        memory_mb       = optional(number, 2048) # 1024 to 6144 in steps of 1024
        max_concurrency = optional(number, 20)   # calls at the same time, 1 to 200
      }))
      keep_minutes    = optional(number, 30) # an endpoint stays that long after the last alias has moved away from it, 0 to 1440
      startup_seconds = optional(number)     # that a container may take to start, 60 to 3600; null: as SageMaker does
      kms_key_arn     = optional(string)     # key of the instances' volumes; null: SageMaker's own
      role = optional(object({               # of the containers, one that exists; it needs the output `endpoint_role_policies`
        arn = string
      }))
    }))
    file_system = optional(object({})) # {} mounts the file system, for bundles too large for /tmp; needs `vpc`
    environment = optional(map(string), {})
    role = optional(object({ # a role that exists; it needs the output `role_policies`
      arn = string
    }))
    network = optional(object({                   # {} runs the function in `vpc`, where it reaches S3 and nothing else
      security_group_ids = optional(list(string)) # instead of the group that reaches S3 alone
    }))
    package = optional(object({ # for this model, instead of packages.runtime; a path stands for { path = ... }
      path             = optional(string)
      bucket           = optional(string)
      key              = optional(string)
      source_code_hash = optional(string)
    }))
    image_uri    = optional(string) # a container image instead of a package, with its digest; known at plan
    python       = optional(string) # the version that this package was built for, instead of `python`
    architecture = optional(string) # likewise, instead of `architecture`
    events = optional(map(object({  # objects that arrive are scored into objects, by names of the events
      alias = optional(string)      # null: the default alias
      source = optional(object({
        bucket      = optional(string)         # an existing bucket that sends events to EventBridge, known at plan; null: that of `event_bucket`
        prefix      = optional(string, "")     # what the keys begin with, as in incoming/
        suffix      = optional(string, "")     # and end with, as in .csv
        kms_key_arn = optional(string)         # key of the objects; null: S3's own
        format      = optional(string)         # csv, jsonl, npy, parquet or image; null: as each key says
        header      = optional(string, "auto") # whether the first line of a CSV has names: auto, present or absent
      }), {})
      output = object({
        bucket      = optional(string) # likewise
        prefix      = optional(string, "")
        kms_key_arn = optional(string) # encrypts the outputs; null: as the bucket does
        format      = optional(string) # csv, jsonl, npy or parquet; null: that of the source, and jsonl for pictures
      })
      keep_columns    = optional(bool, false)    # the outputs begin with the columns of the sources
      on_bad_rows     = optional(string, "fail") # or skip: invalid rows go to a file of their own
      max_concurrency = optional(number, 5)      # invocations at the same time, 2 to 1000
      max_attempts    = optional(number, 5)      # then an object goes to the dead-letter queue
      max_age_minutes = optional(number, 60)     # an alarm fires if an object waits longer
    })), {})
    jobs = optional(object({                # asynchronous jobs, for slow answers and large bodies
      keep_days       = optional(number, 7) # days after which a job and its result are deleted
      max_concurrency = optional(number, 5) # jobs of an alias at the same time, 2 to 1000
      topic_arn       = optional(string)    # SNS topic that is notified of each job that is done
    }))
  }))
  nullable    = false
  description = "The models to serve."
}

variable "packages" {
  type = object({
    runtime = object({                    # runs in the functions that serve models; a path stands for { path = ... }
      path             = optional(string) # on this machine: uploaded to the registry's bucket
      bucket           = optional(string) # or an object that exists, in the functions' region
      key              = optional(string) # known at plan
      source_code_hash = optional(string) # base64 SHA-256 of the zip
    })
    control = object({ # runs in the releaser, the stager, the catalog and the planner
      path             = optional(string)
      bucket           = optional(string)
      key              = optional(string)
      source_code_hash = optional(string)
    })
  })
  nullable    = false
  description = "The function packages."
}

variable "registry" {
  type = object({
    bucket                = optional(string)           # an existing bucket, known at plan; null creates <name>-<account>-<region>
    region                = optional(string)           # of the bucket, if it is in another region than the functions
    packages_bucket       = optional(string)           # takes the packages, in the functions' region; null: the registry's bucket
    accounts              = optional(list(string), []) # other accounts whose stacks may serve from the registry
    prefix                = optional(string, "")       # prefix in the bucket, without slashes at the ends
    kms_key_arn           = optional(string)           # key of the bucket; null uses S3's own
    previous_kms_key_arns = optional(list(string), []) # earlier keys of the bucket: objects written with them still need them
    force_destroy         = optional(bool, false)      # allow deletes of models, and of the bucket with models in it
    access_log = optional(object({                     # S3 writes there who accessed the bucket that this module creates
      bucket = string
    }))
  })
  nullable    = false
  description = "Where models are kept."
}

variable "vpc" {
  type = object({
    vpc_id          = string
    subnets         = map(string)                # IDs by names of yours, known at plan; of different availability zones
    route_table_ids = optional(list(string), []) # of those subnets, which get a gateway to S3; [] if they reach S3 already
  })
  description = "Where functions with a file system run."
}

variable "file_system" {
  type = object({
    existing = optional(object({
      access_point_arn   = string
      security_group_ids = optional(list(string), []) # of its mount targets; they get a rule that admits the functions
    }))
    kms_key_arn      = optional(string)       # null uses EFS's own
    stager_memory_mb = optional(number, 2048) # network bandwidth grows with memory
  })
  nullable    = false
  description = "The file system of all models that ask for one."
}

variable "api" {
  type = object({
    authorization = optional(string, "AWS_IAM") # or JWT, or NONE: everyone
    jwt = optional(object({
      issuer   = string
      audience = list(string)
      scopes   = optional(list(string), []) # a token needs one of these
    }))
    cors = optional(object({
      allow_origins     = list(string)
      allow_headers     = optional(list(string))
      allow_credentials = optional(bool)
      max_age_seconds   = optional(number)
    }))
    throttle = optional(object({
      requests_per_second = optional(number)
      burst               = optional(number)
    }), {})
    domain = optional(object({
      name            = string
      certificate_arn = string # in ACM, in the API's region
    }))
    detailed_metrics = optional(bool, false) # of each route; CloudWatch bills each metric
  })
  description = "The HTTP API."
}

variable "rest_api" {
  type = object({
    authorization = optional(string, "AWS_IAM") # or NONE: everyone, or with usage plans everyone with a key
    # With one or more plans, every request needs a key. {} with NONE makes an API that is open to everyone.
    usage_plans = optional(map(object({
      requests_per_second = number # for each key, over all routes
      burst               = number
      quota = optional(object({
        requests = number
        period   = string # DAY, WEEK or MONTH
      }))
      api_keys = optional(set(string), []) # names; AWS generates the values
    })))
    throttle = optional(object({
      requests_per_second = optional(number)
      burst               = optional(number)
    }), {})
    timeout_seconds = optional(number, 29) # more needs a higher quota of the account
    stage           = optional(string)
    domain = optional(object({
      name            = string
      certificate_arn = string # in ACM, in the API's region
    }))
    waf = optional(object({
      web_acl_arn = string # in WAFv2, regional
    }))
    access_log       = optional(bool, true)  # needs the account's role for logs of API Gateway
    detailed_metrics = optional(bool, false) # of each route; CloudWatch bills each metric
  })
  description = "The REST API."
}

variable "kms" {
  type = object({
    logs_key_arn        = optional(string) # of all log groups; its policy must admit CloudWatch Logs
    environment_key_arn = optional(string) # of the functions' environment variables
    queue_key_arn       = optional(string) # of the queues; its policy must admit EventBridge
  })
  nullable    = false
  description = "Keys that encrypt what has no key of its own."
}

variable "control_roles" {
  type = object({
    releaser = optional(object({
      arn = string
    }))
    stager = optional(object({
      arn = string
    }))
    catalog = optional(object({
      arn = string
    }))
    planner = optional(object({ # plans batch runs
      arn = string
    }))
    batch = optional(object({ # of the state machine
      arn = string
    }))
  })
  nullable    = false
  description = "Roles of the functions that serve no model."
}

variable "event_bucket" {
  type = object({
    kms_key_arn   = optional(string)      # null uses S3's own
    expire_days   = optional(number)      # days after which objects are deleted; null keeps them
    force_destroy = optional(bool, false) # allow deletes of the bucket with objects in it
  })
  nullable    = false
  description = "The bucket of events whose source or output names none."
}

variable "image_repository" {
  type = object({
    kms_key_arn   = optional(string)      # null uses S3's own; another key replaces the repository
    keep_images   = optional(number)      # the newest; null keeps all
    force_destroy = optional(bool, false) # allow deletes of the repository with images in it
  })
  description = "The repository of container images."
}

variable "batch" {
  type = object({
    sources         = list(string)               # s3://bucket/prefix: what runs may read
    outputs         = list(string)               # and where they may write, in the region and account of the stack
    models          = optional(list(string))     # that runs may use; null: all
    max_concurrency = optional(number, 100)      # parts of a run at the same time at most, 1 to 10,000
    source_key_arns = optional(list(string), []) # keys of the sources; none: S3's own
    output_key_arns = optional(list(string), []) # keys of the outputs' buckets; likewise
  })
  description = "Batch runs over many objects."
}
