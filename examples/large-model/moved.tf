# Addresses of 0.1, which numbered the subnets: Terraform keeps the objects.

moved {
  from = aws_subnet.models[0]
  to   = aws_subnet.models["a"]
}

moved {
  from = aws_subnet.models[1]
  to   = aws_subnet.models["b"]
}

moved {
  from = aws_route_table_association.models[0]
  to   = aws_route_table_association.models["a"]
}

moved {
  from = aws_route_table_association.models[1]
  to   = aws_route_table_association.models["b"]
}
