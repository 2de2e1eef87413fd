"""Start a SageMaker training job that runs `train.py` and pushes the model.

Usage: python start_job.py --image URI --role ARN --code s3://.../code.tar.gz \
           --data s3://.../train/ --output s3://.../jobs/ --registry s3://... --name fraud

`code.tar.gz` holds `train.py` and `requirements.txt`, which SageMaker's training toolkit installs.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import boto3

parser = argparse.ArgumentParser(description="start a training job that pushes its model")
for option in ("image", "role", "code", "data", "output", "registry", "name"):
    parser.add_argument(f"--{option}", required=True)
parser.add_argument("--instance-type", default="ml.m5.large")
parser.add_argument("--subnets", nargs="*", default=[])
parser.add_argument("--security-groups", nargs="*", default=[])
arguments = parser.parse_args()

job = f"{arguments.name}-{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}"
hyperparameters = {
    "n_estimators": 100,
    "max_depth": 8,
    "sagemaker_program": "train.py",
    "sagemaker_submit_directory": arguments.code,
}
network: dict[str, Any] = {}
if arguments.subnets:
    network = {
        "VpcConfig": {"Subnets": arguments.subnets, "SecurityGroupIds": arguments.security_groups}
    }

boto3.client("sagemaker").create_training_job(
    TrainingJobName=job,
    RoleArn=arguments.role,  # with the policy of Terraform's output `push_policy`
    AlgorithmSpecification={
        "TrainingImage": arguments.image,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}],
    },
    # The toolkit reads each value as JSON.
    HyperParameters={name: json.dumps(value) for name, value in hyperparameters.items()},
    InputDataConfig=[
        {
            "ChannelName": "train",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": arguments.data,
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
        }
    ],
    OutputDataConfig={"S3OutputPath": arguments.output},
    ResourceConfig={
        "InstanceType": arguments.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": 10,
    },
    StoppingCondition={"MaxRuntimeInSeconds": 3600},
    Environment={"SHEARLING_REGISTRY": arguments.registry, "MODEL_NAME": arguments.name},
    EnableNetworkIsolation=False,  # an isolated job reaches no registry
    **network,
)
print(job)
