"""Uses each feature with paho-mqtt and in a script: `parity.py PORT VERSION`, with the MQTT version of the script.

Exits with 0 if both sides have equal results.
"""

import itertools
import json
import random
import sys

import paho.mqtt.client as mqtt
from paho.mqtt import publish, subscribe
from paho.mqtt.subscribeoptions import SubscribeOptions

from client import TIMEOUT, PORT, Client, payloads, properties

IS_NEW = sys.argv[2] == "5"
OURS = mqtt.MQTTv5 if IS_NEW else mqtt.MQTTv311


def start(client, action, payload=""):
    """Starts an action of the script."""
    client.publish(f"go/{action}", payload)


def received(client, count):
    return sorted((message.topic, message.payload.decode()) for message in (client.next() for _ in range(count)))


def one_message_at_a_time(client):
    client.subscribe("rhaid/single/done", 1)
    publish.single("go/single", "boo123", 1, hostname="127.0.0.1", port=PORT)
    assert client.next().payload == b"1"
    kept = subscribe.simple("rhaid/single", 1, hostname="127.0.0.1", port=PORT)
    assert (kept.payload, kept.qos, kept.retain) == (b"boo123", 1, True)
    start(client, "clear")
    assert client.next().payload == b"1"
    client.subscribe("rhaid/single", 1)
    assert client.all("marker/single") == []


def waiting_for_the_acknowledgement(client):
    client.subscribe("rhaid/later", 2)
    start(client, "later")
    # QoS 2 takes another round trip, so the order may differ.
    assert sorted(payloads([client.next(), client.next()])) == ["boo", "true"]
    info = client.client.publish("paho/later", "boo", 2)
    info.wait_for_publish(TIMEOUT)
    assert info.is_published()


def several_messages_at_once(client):
    client.subscribe("rhaid/many/+", 2)
    start(client, "many")
    found = [client.next() for _ in range(4)]
    ordered = [message for message in found if message.qos < 2]
    assert [(message.topic, message.payload, message.qos) for message in ordered] == [
        ("rhaid/many/2", b"two", 1),
        ("rhaid/many/3", b"", 0),
        ("rhaid/many/4", b"4", 1),
    ], found
    assert [(message.payload, message.qos) for message in found if message.qos == 2] == [(b"1", 2)]
    messages = [{"topic": "both/in/1", "payload": "a", "qos": 2}, ("both/in/2", "b", 1, False), {"topic": "both/in/3"}]
    client.subscribe("rhaid/both/+", 1)
    publish.multiple(messages, hostname="127.0.0.1", port=PORT)
    assert received(client, 3) == [("rhaid/both/1", "a 2"), ("rhaid/both/2", "b 1"), ("rhaid/both/3", " 0")]


def payloads_of_all_types(client):
    client.subscribe("sort/+/+", 1)
    start(client, "payloads")
    for index, payload in enumerate(["text 温", b"\xff\xff", 42, -7, 2.5, 21.0, None]):
        client.publish(f"sort/paho/{index}", payload)
    found = {}
    for _ in range(15):
        message = client.next()
        found[message.topic] = message.payload
    for index in range(7):
        assert found[f"sort/paho/{index}"] == found[f"sort/rhaid/{index}"], (index, found)
    # paho-mqtt refuses this type.
    assert json.loads(found["sort/rhaid/7"]) == {"a": [1, "二"]}


def waiting_for_messages(client):
    for topic in ("kept/1", "kept/二", "also"):
        client.publish(topic, topic, 2, True)
    client.subscribe("rhaid/received/+", 1)
    start(client, "receive")
    message = client.next()
    found = sorted(json.loads(message.payload))
    assert found == sorted([f"{topic} {topic} 2 true" for topic in ("kept/1", "kept/二", "also")]), found
    message = client.next()
    assert (message.topic, message.payload) == ("rhaid/received/none", b"timeout")
    for topic in ("kept/1", "kept/二", "also"):
        client.publish(topic, "", 1, True)


def each_filter_has_its_handlers(client):
    client.subscribe("rhaid/received_by/+", 1)
    client.publish("温/a/1", "x")
    client.publish("温/b", "y")
    assert received(client, 3) == [
        ("rhaid/received_by/narrow", "温/a/1 1"),
        ("rhaid/received_by/wide", "温/a/1"),
        ("rhaid/received_by/wide", "温/b"),
    ]


def fields_of_a_message(client):
    client.subscribe("rhaid/fields", 1)
    for qos, retain in itertools.product((0, 1, 2), (False, True)):
        client.publish(f"fields/厨房/{qos}", "é", qos, retain)
        fields = json.loads(client.next().payload)
        assert fields.pop("age") < TIMEOUT
        assert fields == {
            "topic": f"fields/厨房/{qos}",
            "payload": "é",
            "bytes": 2,
            "qos": qos,
            # Existing subscriptions get it without the retain flag.
            "retain": False,
            "dup": False,
            "room": "厨房",
            "broker": "default",
        }, fields
        if retain:
            client.publish(f"fields/厨房/{qos}", "", 1, True)
            assert json.loads(client.next().payload)["payload"] == ""


def every_quality_of_service(client):
    for granted, sent in itertools.product((0, 1, 2), (0, 1, 2)):
        client.subscribe("rhaid/qos", 2)
        client.publish(f"qos/{granted}", "", sent)
        message = client.next()
        found = (message.payload.decode(), message.qos)
        assert found == (f"{min(granted, sent)}", min(granted, sent)), (granted, sent, found)


def properties_of_messages(client):
    given = {
        "ContentType": "text/plain",
        "ResponseTopic": "answers/这里",
        "CorrelationData": b"\0\xff",
        "UserProperty": [("a", "1"), ("a", "2"), ("温", "度")],
        "MessageExpiryInterval": 100,
    }
    client.subscribe("rhaid/echo", 1)
    client.publish("echo", "x", 1, False, **given)
    message = client.next()
    if not IS_NEW:
        assert message.payload == b"x" and not hasattr(message.properties, "ContentType")
        return
    for name, value in given.items():
        found = getattr(message.properties, name)
        fits = 98 <= found <= 100 if name == "MessageExpiryInterval" else found == value
        assert fits, (name, found)


def requests_and_responses(client):
    client.subscribe("ask/paho", 1)
    client.subscribe("rhaid/answered", 1)
    start(client, "request")
    question = client.next()
    requested = question.properties
    topic = requested.ResponseTopic if IS_NEW else "ask/paho/response"
    carried = {"CorrelationData": requested.CorrelationData} if IS_NEW else {}
    if IS_NEW:
        client.publish(topic, "for another request", 1, False, CorrelationData=b"other")
    client.publish(topic, f"{2 * int(question.payload)}", 1, False, **carried)
    assert client.next().payload == b"42"
    if IS_NEW:
        client.subscribe("mine", 1)
        client.publish("ask/rhaid", "4", 1, False, ResponseTopic="mine", CorrelationData=b"number 1")
        answer = client.next()
        assert (answer.payload, answer.properties.CorrelationData) == (b"8", b"number 1")


def filters_match_the_same_topics(client):
    draw = random.Random(7)
    levels = ["a", "b", "", "温", "$x"]

    def topic():
        return "/".join(draw.choice(levels) for _ in range(draw.randint(1, 4))) or "a"

    def filter():
        made = [draw.choice([*levels, "+", "+"]) for _ in range(draw.randint(1, 4))]
        if draw.random() < 0.4:
            made.append("#")
        return "/".join(made) or "#"

    pairs = [[filter(), topic()] for _ in range(2_000)] + [["#", "$SYS/x"], ["a/#", "a"], ["+", "/"], ["$SYS/#", "$SYS/x"]]
    client.subscribe("rhaid/matches", 1)
    start(client, "matches", json.dumps(pairs))
    ours = json.loads(client.next().payload)
    theirs = [mqtt.topic_matches_sub(filter, topic) for filter, topic in pairs]
    different = [pair for pair, one, other in zip(pairs, ours, theirs) if one != other]
    assert different == [], different
    assert 100 < sum(ours) < 1_900


def large_payloads(client):
    client.subscribe("rhaid/echo", 1)
    payload = bytes(range(256)) * 4_000
    client.publish("echo", payload)
    assert client.next().payload == payload


def own_messages(client):
    client.subscribe("rhaid/local", 1)
    client.subscribe("local", 1)
    start(client, "local")
    found = []
    while ("local", b"ours") not in found:
        message = client.next()
        found.append((message.topic, message.payload))
    client.publish("local", "theirs")
    while ("rhaid/local", b"theirs") not in found:
        message = client.next()
        found.append((message.topic, message.payload))
    # MQTT 3.1.1 has no such option.
    assert (("rhaid/local", b"ours") in found) is not IS_NEW, found


for check in (
    one_message_at_a_time,
    waiting_for_the_acknowledgement,
    several_messages_at_once,
    payloads_of_all_types,
    waiting_for_messages,
    each_filter_has_its_handlers,
    fields_of_a_message,
    every_quality_of_service,
    properties_of_messages,
    requests_and_responses,
    filters_match_the_same_topics,
    large_payloads,
    own_messages,
):
    client = Client(check.__name__, mqtt.MQTTv5)
    check(client)
    client.disconnect()
    print("ok", check.__name__, flush=True)
