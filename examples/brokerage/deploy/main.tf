# The topics, queues and dead-letter queues of src/messaging/subscriptions.ts on AWS.
terraform {
  required_providers { aws = { source = "hashicorp/aws", version = "~> 6.0" } }
}

locals {
  topics = {
    order-requests = true
    order-outcomes = true
    order-results  = false
    order-reports  = false
    order-checks   = false
    order-notices  = false
  }
  # fifo: keeps the order of an account.
  subscriptions = {
    order-queue    = { fifo = true, topics = ["order-requests"] }
    check-queue    = { fifo = false, topics = ["order-checks"] }
    balance-queue  = { fifo = true, topics = ["order-outcomes"] }
    listener-queue = { fifo = false, topics = ["order-requests", "order-results", "order-reports"] }
    notice-queue   = { fifo = false, topics = ["order-notices"] }
  }
  pairs = merge([for queue, it in local.subscriptions : { for topic in it.topics : "${queue}.${topic}" => { queue = queue, topic = topic } }]...)
}

resource "aws_sns_topic" "topic" {
  for_each          = local.topics
  name              = each.value ? "${each.key}.fifo" : each.key
  fifo_topic        = each.value
  kms_master_key_id = "alias/aws/sns"
}

resource "aws_sqs_queue" "dead_letters" {
  for_each                  = local.subscriptions
  name                      = each.value.fifo ? "${each.key}-dead-letters.fifo" : "${each.key}-dead-letters"
  fifo_queue                = each.value.fifo
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "queue" {
  for_each                   = local.subscriptions
  name                       = each.value.fifo ? "${each.key}.fifo" : each.key
  fifo_queue                 = each.value.fifo
  visibility_timeout_seconds = 30
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn, maxReceiveCount = 1000 })
}

resource "aws_sns_topic_subscription" "subscription" {
  for_each             = local.pairs
  topic_arn            = aws_sns_topic.topic[each.value.topic].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.queue[each.value.queue].arn
  raw_message_delivery = true
}

data "aws_iam_policy_document" "from_topics" {
  for_each = local.subscriptions
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.queue[each.key].arn]
    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [for topic in each.value.topics : aws_sns_topic.topic[topic].arn]
    }
  }
}

resource "aws_sqs_queue_policy" "from_topics" {
  for_each  = local.subscriptions
  queue_url = aws_sqs_queue.queue[each.key].id
  policy    = data.aws_iam_policy_document.from_topics[each.key].json
}
