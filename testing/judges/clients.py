"""Reads and writes messages with clients that nobody here wrote. Told what to do by one JSON object, answers with one.

With a "binding" the official CloudEvents SDK makes the messages that are written, and reads those that come.
"""
import base64
import json
import sys
import time


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def seen(key, headers, body):
    headers = {name: text(value) for name, value in headers.items()}
    return {"key": key, "headers": headers, "body": base64.b64encode(body).decode("ascii")}


def attributes_of(event):
    """As text, by the names they have in the binding of HTTP; the SDK has parsed the instant."""
    named = {name: value for name, value in event.get_attributes().items() if value is not None}
    if "time" in named:
        named["time"] = named["time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return named


def seen_by_sdk(key, prefix, others, event):
    """What the SDK found, in the form in which a client finds it: so both are judged alike."""
    attributes = attributes_of(event)
    headers = {f"{prefix}{name}": value for name, value in attributes.items() if name != "datacontenttype"}
    data = event.get_data()
    body = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return seen(key, {**others, **headers, "content-type": attributes["datacontenttype"]}, body.encode())


def without_attributes(headers):
    return {name: value for name, value in headers.items() if not name.startswith(("ce-", "ce_", "cloudEvents:"))}


def made_by_sdk(order, message):
    """What a binding of the SDK makes of an event: headers and body are under other names in each of them."""
    from importlib import import_module

    from cloudevents.core.v1.event import CloudEvent
    from dateutil.parser import isoparse

    binding, mode = order["binding"].split(" ")
    attributes = {**message["attributes"], "datacontenttype": message["contentType"]}
    if "time" in attributes:
        attributes["time"] = isoparse(attributes["time"])
    is_json = message["contentType"] == "application/json"
    event = CloudEvent(attributes, json.loads(message["body"]) if is_json else message["body"])
    return getattr(import_module(f"cloudevents.core.bindings.{binding}"), f"to_{mode}_event")(event)


def deadline(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def seen_in_rabbitmq(order, properties, body):
    headers = properties.headers or {}
    if "binding" not in order:
        own = {"content-type": properties.content_type, "message-id": properties.message_id}
        return seen(None, {**headers, **{name: value for name, value in own.items() if value is not None}}, body)
    from cloudevents.core.bindings import amqp, rabbitmq

    by_rabbitmq = rabbitmq.from_rabbitmq_event(rabbitmq.RabbitMQMessage(headers, properties.content_type, body))
    by_amqp = amqp.from_amqp_event(amqp.AMQPMessage({"content-type": properties.content_type}, headers, body))
    if attributes_of(by_rabbitmq) != attributes_of(by_amqp):
        raise SystemExit(f"two bindings read {attributes_of(by_rabbitmq)} and {attributes_of(by_amqp)}")
    return seen_by_sdk(None, "cloudEvents:", without_attributes(headers), by_amqp)


def read_pika(order):
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(order["server"]))
    channel, found, is_over = connection.channel(), [], deadline(order["seconds"])
    for frame, properties, body in channel.consume(order["topic"], inactivity_timeout=0.5):
        if frame is not None:
            found.append(seen_in_rabbitmq(order, properties, body))
            channel.basic_ack(frame.delivery_tag)
        if len(found) >= order["count"] or is_over():
            break
    channel.cancel()
    connection.close()
    return found


def write_pika(order):
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(order["server"]))
    channel = connection.channel()
    channel.confirm_delivery()
    for message in order["messages"]:
        headers = {f"cloudEvents:{name}": value for name, value in message["attributes"].items()}
        content_type, body = message["contentType"], message["body"].encode()
        if "binding" in order:
            made = made_by_sdk(order, message)
            if order["binding"].startswith("amqp"):
                headers, body = made.application_properties, made.application_data
                content_type = made.properties["content-type"]
            else:
                headers, content_type, body = made.headers, made.content_type, made.body
        headers = {**headers, **message["headers"]}
        properties = pika.BasicProperties(content_type=content_type, headers=headers, delivery_mode=2)
        channel.basic_publish(order["exchange"], order["topic"], body, properties, mandatory=True)
    connection.close()


def seen_in_kafka(order, key, headers, value):
    if "binding" not in order:
        return seen(key, headers, value)
    from cloudevents.core.bindings import kafka

    event = kafka.from_kafka_event(kafka.KafkaMessage(headers, key, value))
    return seen_by_sdk(key, "ce_", without_attributes(headers), event)


def read_confluent(order):
    from confluent_kafka import Consumer

    settings = {"bootstrap.servers": order["server"], "group.id": order["topic"], "auto.offset.reset": "earliest"}
    consumer, found, is_over = Consumer(settings), [], deadline(order["seconds"])
    consumer.subscribe([order["topic"]])
    while len(found) < order["count"] and not is_over():
        record = consumer.poll(0.2)
        if record is None or record.error():
            continue
        key = None if record.key() is None else text(record.key())
        found.append(seen_in_kafka(order, key, dict(record.headers() or []), record.value()))
    consumer.close()
    return found


def write_confluent(order):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": order["server"]})
    for message in order["messages"]:
        headers = {f"ce_{name}": value for name, value in message["attributes"].items()}
        headers, body = {**headers, "content-type": message["contentType"]}, message["body"].encode()
        key = message["attributes"].get("partitionkey")
        if "binding" in order:
            made = made_by_sdk(order, message)
            headers, key, body = made.headers, made.key, made.value
        producer.produce(order["topic"], body, key, headers=list({**headers, **message["headers"]}.items()))
    if producer.flush(order["seconds"]) > 0:
        raise SystemExit("the broker did not take everything")


def sqs(order):
    import boto3

    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("sqs", endpoint_url=order["server"], region_name="us-east-1", **credentials)


def seen_in_sqs(order, group, headers, body):
    if "binding" not in order:
        return seen(group, headers, body)
    from cloudevents.core.bindings import http

    # There is no binding for SQS; ours has the attribute names of the one for HTTP.
    event = http.from_http_event(http.HTTPMessage(headers, body))
    return seen_by_sdk(group, "ce-", without_attributes(headers), event)


def read_boto3(order):
    client, found, is_over = sqs(order), [], deadline(order["seconds"])
    while len(found) < order["count"] and not is_over():
        answer = client.receive_message(
            QueueUrl=order["url"],
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        )
        for message in answer.get("Messages", []):
            headers = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
            group = message["Attributes"].get("MessageGroupId")
            found.append(seen_in_sqs(order, group, headers, message["Body"].encode()))
            client.delete_message(QueueUrl=order["url"], ReceiptHandle=message["ReceiptHandle"])
    return found


def write_boto3(order):
    client = sqs(order)
    for message in order["messages"]:
        headers = {f"ce-{name}": value for name, value in message["attributes"].items()}
        headers, body = {**headers, "content-type": message["contentType"]}, message["body"]
        if "binding" in order:
            made = made_by_sdk(order, message)
            headers, body = made.headers, made.body.decode()
        headers = {**headers, **message["headers"]}
        client.send_message(
            QueueUrl=order["url"],
            MessageBody=body,
            MessageAttributes={n: {"DataType": "String", "StringValue": v} for n, v in headers.items()},
            MessageGroupId=message["attributes"].get("partitionkey", "none"),
            MessageDeduplicationId=message["attributes"]["id"],
        )


work = {
    "pika": {"read": read_pika, "write": write_pika},
    "confluent_kafka": {"read": read_confluent, "write": write_confluent},
    "boto3": {"read": read_boto3, "write": write_boto3},
}

asked = json.loads(sys.argv[1])
print(json.dumps(work[asked["client"]][asked["do"]](asked)))
