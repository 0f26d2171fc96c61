"""Tests a broker with paho-mqtt: `broker.py PORT`. Exits with 0 if it follows MQTT 3.1.1 and 5."""

import time

import paho.mqtt.client as mqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

from client import VERSIONS, Client, payloads, properties


def qualities_of_service(version):
    one, two = Client("one", version), Client("two", version)
    for granted in (0, 1, 2):
        assert two.subscribe("qos/温度", granted) == [granted]
        for sent in (0, 1, 2):
            one.publish("qos/温度", f"{sent}", sent)
            message = two.next()
            assert (message.topic, message.payload, message.qos) == ("qos/温度", b"%d" % sent, min(granted, sent))
    one.disconnect(), two.disconnect()


def sessions_and_queued_messages(version):
    kept = {"clean": False, "expiry": 1000}
    first = Client("kept", version, **kept)
    assert not first.session_present
    first.subscribe("wait/#", 2)
    first.disconnect()
    sender = Client("sender", version)
    for number in range(100):
        sender.publish(f"wait/{number % 3}", str(number), 1 + number % 2)
    back = Client("kept", version, **kept)
    assert back.session_present
    messages = [back.next() for _ in range(100)]
    # QoS 2 takes another round trip, so the order holds per QoS.
    for qos in (1, 2):
        found = payloads(message for message in messages if message.qos == qos)
        assert found == [str(number) for number in range(qos - 1, 100, 2)], found
    back.disconnect()
    assert not Client("kept", version, clean=True).session_present
    sender.disconnect()


def retained(version):
    client = Client("retainer", version)
    for topic in ("kept/a", "kept/b", "kept/c"):
        client.publish(topic, topic, 1, True)
    client.publish("kept/b", "", 1, True)
    client.subscribe("kept/+", 1)
    assert sorted(payloads(client.all("marker/1"))) == ["kept/a", "kept/c"]
    for topic in ("kept/a", "kept/c"):
        client.publish(topic, "", 1, True)
    client.disconnect()


def wills(version):
    listener = Client("listener", version)
    listener.subscribe("will")
    Client("dying", version, will=("will", "gone", 1, False)).drop()
    assert listener.next().payload == b"gone"
    Client("leaving", version, will=("will", "not published", 1, False)).disconnect()
    assert listener.all("marker/2") == []
    listener.disconnect()


def wildcards_and_dollar_topics(version):
    client = Client("wild", version)
    client.subscribe("#"), client.subscribe("+/x")
    client.publish("$own/x", "hidden")
    client.publish("/", "empty levels")
    client.client.unsubscribe("#"), client.event()
    client.publish("gone/y", "unsubscribed")
    assert payloads(client.all("marker/3")) == ["empty levels"]
    client.disconnect()


def takeover(version):
    first = Client("same", version)
    second = Client("same", version)
    assert first.event() != 0
    first.client.loop_stop()
    second.disconnect()


def large_payloads(version):
    client = Client("large", version)
    client.subscribe("large", 1)
    payload = bytes(range(256)) * 40_000
    client.publish("large", payload)
    assert client.next().payload == payload
    client.disconnect()


def subscription_options_and_identifiers():
    one, two = Client("one", mqtt.MQTTv5), Client("two", mqtt.MQTTv5)
    one.subscribe("o", options=SubscribeOptions(1, noLocal=True), identifier=7)
    two.subscribe("o", options=SubscribeOptions(1, retainAsPublished=True), identifier=8)
    two.subscribe("o/#", options=SubscribeOptions(0), identifier=9)
    one.publish("o", "x", 1, True)
    message = two.next()
    assert (message.retain, message.qos) == (True, 1)
    assert sorted(message.properties.SubscriptionIdentifier) == [8, 9]
    assert one.all("marker/4") == []
    two.subscribe("o", options=SubscribeOptions(0, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB))
    assert two.all("marker/5") == []
    assert one.subscribe("$share//a") == [0x8F]
    one.publish("o", "", 1, True)
    one.disconnect(), two.disconnect()


def message_properties():
    client = Client("rich", mqtt.MQTTv5)
    client.subscribe("rich", 1)
    given = {
        "ContentType": "text/plain",
        "PayloadFormatIndicator": 1,
        "ResponseTopic": "answers/here",
        "CorrelationData": b"\0\xff",
        "UserProperty": [("a", "1"), ("a", "2"), ("温", "度")],
    }
    client.publish("rich", "x", 1, False, **given, MessageExpiryInterval=100)
    got = client.next().properties
    for name, value in given.items():
        assert getattr(got, name) == value, name
    assert 98 <= got.MessageExpiryInterval <= 100
    client.disconnect()


def aliases_and_limits():
    aliased = Client("aliased", mqtt.MQTTv5, connect=properties("CONNECT", TopicAliasMaximum=1, ReceiveMaximum=2))
    aliased.subscribe("alias/#", 1)
    sender = Client("sender", mqtt.MQTTv5)
    assert sender.connack.TopicAliasMaximum > 0
    sender.publish("alias/a", "1", TopicAlias=1)
    sender.publish("", "2", TopicAlias=1)
    for number in range(3, 20):
        sender.publish(f"alias/{number % 2}", str(number))
    messages = [aliased.next() for _ in range(19)]
    assert payloads(messages) == [str(number) for number in range(1, 20)]
    # paho-mqtt does not resolve topic aliases.
    assert [message.topic for message in messages[:2]] == ["alias/a", ""]
    small = Client("small", mqtt.MQTTv5, connect=properties("CONNECT", MaximumPacketSize=100))
    small.subscribe("small", 1)
    sender.publish("small", "x" * 200), sender.publish("small", "fits")
    assert small.next().payload == b"fits"
    for client in (aliased, sender, small):
        client.disconnect()


def expiry_intervals():
    options = {"clean": False, "expiry": 1}
    Client("short", mqtt.MQTTv5, **options).disconnect()
    kept = Client("long", mqtt.MQTTv5, clean=False, expiry=100)
    kept.subscribe("expiry", 1)
    kept.disconnect()
    sender = Client("sender", mqtt.MQTTv5)
    sender.publish("expiry", "short", MessageExpiryInterval=1)
    sender.publish("expiry", "long", MessageExpiryInterval=100)
    time.sleep(2.5)
    assert not Client("short", mqtt.MQTTv5, **options).session_present
    kept = Client("long", mqtt.MQTTv5, clean=False, expiry=100)
    assert kept.session_present and payloads(kept.all("marker/6")) == ["long"]
    kept.disconnect(SessionExpiryInterval=0)
    # paho-mqtt does not wait until the broker has read the DISCONNECT.
    time.sleep(0.5)
    assert not Client("long", mqtt.MQTTv5, clean=False, expiry=100).session_present
    sender.disconnect()


def client_ids_and_shared_subscriptions():
    unnamed = Client("", mqtt.MQTTv5)
    assert unnamed.connack.AssignedClientIdentifier
    group = [Client(f"member {number}", mqtt.MQTTv5) for number in range(2)]
    for member in group:
        member.subscribe("$share/team/work/+", 1)
    for number in range(20):
        unnamed.publish(f"work/{number}", str(number))
    shares = [payloads(member.all(f"marker/{at}")) for at, member in enumerate(group)]
    assert sorted(map(int, shares[0] + shares[1])) == list(range(20)) and all(shares)
    for client in (unnamed, *group):
        client.disconnect()


for check in (qualities_of_service, sessions_and_queued_messages, retained, wills, wildcards_and_dollar_topics, takeover, large_payloads):
    for version in VERSIONS:
        check(version)
        print("ok", check.__name__, version, flush=True)
for check in (
    subscription_options_and_identifiers,
    message_properties,
    aliases_and_limits,
    expiry_intervals,
    client_ids_and_shared_subscriptions,
):
    check()
    print("ok", check.__name__, flush=True)
