"""Reads and writes messages with clients that nobody here wrote. Told what to do by one JSON object, answers with one."""
import base64
import json
import sys
import time


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def seen(key, headers, body):
    headers = {name: text(value) for name, value in headers.items()}
    return {"key": key, "headers": headers, "body": base64.b64encode(body).decode("ascii")}


def deadline(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def read_pika(order):
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(order["server"]))
    channel, found, is_over = connection.channel(), [], deadline(order["seconds"])
    for frame, properties, body in channel.consume(order["topic"], inactivity_timeout=0.5):
        if frame is not None:
            own = {"content-type": properties.content_type, "message-id": properties.message_id}
            named = {name: value for name, value in own.items() if value is not None}
            found.append(seen(None, {**(properties.headers or {}), **named}, body))
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
        properties = pika.BasicProperties(
            content_type=message["contentType"], headers={**headers, **message["headers"]}, delivery_mode=2
        )
        channel.basic_publish(order["exchange"], order["topic"], message["body"].encode(), properties, mandatory=True)
    connection.close()


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
        found.append(seen(key, dict(record.headers() or []), record.value()))
    consumer.close()
    return found


def write_confluent(order):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": order["server"]})
    for message in order["messages"]:
        headers = {f"ce_{name}": value for name, value in message["attributes"].items()}
        headers = {**headers, "content-type": message["contentType"], **message["headers"]}
        key = message["attributes"].get("partitionkey")
        producer.produce(order["topic"], message["body"].encode(), key, headers=list(headers.items()))
    if producer.flush(order["seconds"]) > 0:
        raise SystemExit("the broker did not take everything")


def sqs(order):
    import boto3

    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("sqs", endpoint_url=order["server"], region_name="us-east-1", **credentials)


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
            found.append(seen(message["Attributes"].get("MessageGroupId"), headers, message["Body"].encode()))
            client.delete_message(QueueUrl=order["url"], ReceiptHandle=message["ReceiptHandle"])
    return found


def write_boto3(order):
    client = sqs(order)
    for message in order["messages"]:
        headers = {f"ce-{name}": value for name, value in message["attributes"].items()}
        headers = {**headers, "content-type": message["contentType"], **message["headers"]}
        client.send_message(
            QueueUrl=order["url"],
            MessageBody=message["body"],
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
