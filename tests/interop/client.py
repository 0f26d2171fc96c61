"""Shared helpers of the tests with paho-mqtt: a client that queues received messages and events."""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT = int(sys.argv[1])
TIMEOUT = 30
VERSIONS = (mqtt.MQTTv311, mqtt.MQTTv5)


def properties(kind, **values):
    made = Properties(getattr(PacketTypes, kind))
    for name, value in values.items():
        for one in value if name == "UserProperty" else [value]:
            setattr(made, name, one)
    return made


class Client:
    """A paho-mqtt client that queues received messages and events."""

    def __init__(self, name, version, clean=True, expiry=0, will=None, connect=None, keep_alive=60):
        arguments = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=version, **arguments)
        self.version = version
        self.messages, self.events = queue.Queue(), queue.Queue()
        self.client.on_connect = lambda c, d, flags, code, p: self.events.put((flags.session_present, code, p))
        self.client.on_message = lambda c, d, message: self.messages.put(message)
        self.client.on_subscribe = lambda c, d, mid, codes, p: self.events.put([code.value for code in codes])
        self.client.on_unsubscribe = lambda c, d, mid, codes, p: self.events.put([code.value for code in codes])
        self.client.on_disconnect = lambda c, d, flags, code, p: self.events.put(code.value)
        if will:
            self.client.will_set(*will)
        if version == mqtt.MQTTv5:
            given = connect or properties("CONNECT")
            if expiry:
                given.SessionExpiryInterval = expiry
            self.client.connect("127.0.0.1", PORT, keep_alive, clean_start=clean, properties=given)
        else:
            self.client.connect("127.0.0.1", PORT, keep_alive)
        self.client.loop_start()
        self.session_present, self.code, self.connack = self.event()

    def event(self):
        return self.events.get(timeout=TIMEOUT)

    def subscribe(self, filter, qos=0, options=None, identifier=None):
        if self.version == mqtt.MQTTv5:
            given = properties("SUBSCRIBE", SubscriptionIdentifier=identifier) if identifier else None
            self.client.subscribe(filter, options=options or SubscribeOptions(qos), properties=given)
        else:
            self.client.subscribe(filter, qos)
        return self.event()

    def publish(self, topic, payload="", qos=1, retain=False, **given):
        made = properties("PUBLISH", **given) if given else None
        self.client.publish(topic, payload, qos, retain, made).wait_for_publish(TIMEOUT)

    def next(self):
        return self.messages.get(timeout=TIMEOUT)

    def all(self, marker):
        """Returns the messages received before a message published now."""
        self.client.subscribe(marker)
        self.event()
        self.publish(marker, marker)
        found = []
        while (message := self.next()).topic != marker:
            found.append(message)
        return found

    def disconnect(self, **given):
        made = properties("DISCONNECT", **given) if given else None
        if self.version == mqtt.MQTTv5:
            self.client.disconnect(properties=made)
        else:
            self.client.disconnect()
        self.event()
        self.client.loop_stop()

    def drop(self):
        """Closes the socket without a DISCONNECT."""
        self.client.on_disconnect = None
        self.client.socket().close()
        self.client.loop_stop()


def payloads(messages):
    return [message.payload.decode() for message in messages]
