//! Tests of the options of webhooks.

use super::*;
use crate::options::Options;
use crate::value::map_of;

fn fault(options: &[(&str, Value)]) -> String {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let trigger_context = TriggerContext {
        zone: jiff::tz::TimeZone::UTC,
        location: None,
        brokers: std::sync::Arc::default(),
        base: "/".into(),
    };
    let mut options = Options::new(options);
    let read = read(vec!["door".into()], &mut options, &trigger_context);
    read.map(|trigger| trigger.summary())
        .and_then(|summary| options.finish().map(|()| summary))
        .unwrap_or_else(|fault| fault.message)
}

#[test]
fn a_webhook_must_declare_its_access() {
    let missing = "its access is not declared: write `token: secret(\"NAME\")`, `hmac: secret(\"NAME\")`, or `public: true` for anyone";
    assert_eq!(fault(&[]), missing);
    assert_eq!(fault(&[("public", false.into())]), missing);
    assert_eq!(
        fault(&[("public", true.into()), ("token", "x".into())]),
        "write only one of `token`, `hmac` and `public: true`"
    );
    assert_eq!(fault(&[("token", "".into())]), "token: write a secret, not empty text");
    assert_eq!(fault(&[("public", true.into())]), "webhook door");
    assert_eq!(fault(&[("hmac", "x".into())]), "webhook door");
    let map = Value::Map(map_of([("secret".into(), "x".into()), ("header".into(), "X-Sign".into())]));
    assert_eq!(fault(&[("hmac", map)]), "webhook door");
    let map = Value::Map(map_of([("secret".into(), "x".into()), ("heder".into(), "X-Sign".into())]));
    assert_eq!(fault(&[("hmac", map)]), "hmac: unknown option `heder`: did you mean `header`?");
}

#[test]
fn methods_and_sizes_are_checked() {
    let public = ("public", true.into());
    let methods = |list: &[&str]| ("methods", Value::List(list.iter().map(|&method| method.into()).collect()));
    assert_eq!(fault(&[public.clone(), methods(&["get", "POST"])]), "webhook GET,POST door");
    assert_eq!(
        fault(&[public.clone(), methods(&["FETCH"])]),
        "methods: write some of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    );
    assert_eq!(fault(&[public, ("max_body", "1GiB".into())]), "max_body: write at most \"64MiB\"");
}
