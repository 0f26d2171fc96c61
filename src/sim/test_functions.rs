//! The functions of tests, on a sandbox.

use std::path::{Component, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use jiff::civil::Time;

use crate::fault;
use crate::functions::testing::{MockResponse, SandboxApi};
use crate::runtime::Status;
use crate::secrets::Secret;
use crate::services::clock::Clock;
use crate::services::mqtt::{Error, Publish};
use crate::services::store::Emitted;
use crate::services::store::StateEdit;
use crate::sim::sandbox::Sandbox;
use crate::units::parse_time;
use crate::value::{Map, Value, map_of};

impl Sandbox {
    /// Parses a time: with a zone or an offset, in the zone of rhaid.yaml, or a time of day, which means its next occurrence.
    fn parse_time(&self, text: &str) -> Result<Zoned, String> {
        let zone = self.clock.zone();
        let Some(time) = text.parse::<Time>().ok().filter(|_| !text.contains('-')) else {
            return parse_time(text, &zone);
        };
        let now = self.clock.now_zoned();
        let today = now.date().to_datetime(time).to_zoned(zone.clone()).map_err(|error| error.to_string())?;
        if today >= now {
            return Ok(today);
        }
        let tomorrow = now.date().tomorrow().map_err(|error| error.to_string())?;
        tomorrow.to_datetime(time).to_zoned(zone).map_err(|error| error.to_string())
    }

    fn file(&self, path: &str) -> PathBuf {
        self.base().join(path).components().filter(|part| *part != Component::CurDir).collect()
    }

    fn is_running(&self) -> bool {
        self.instance.lock().is_some()
    }
}

impl SandboxApi for Sandbox {
    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn load(&self, script: &str) -> Result<(), String> {
        let script = script.strip_suffix(".rhai").unwrap_or(script).to_owned();
        let was_running = self.is_running();
        if let Some(chosen) = &self.chosen {
            chosen.lock().insert(script.clone());
        }
        self.with(|instance| {
            let runtime = instance.runtime.clone();
            let listed = instance.wait_at_once(async move {
                if was_running {
                    runtime.rescan().await;
                }
                runtime.list().await
            })?;
            match listed.into_iter().find(|listed| listed.name == script) {
                None => Err(format!("there is no script `{script}` in the scripts folder")),
                Some(listed) if listed.status == Status::Live => Ok(()),
                Some(listed) => Err(format!("`{script}` cannot be loaded:\n{}", listed.faults.join("\n"))),
            }
        })
    }

    fn publish(&self, publish: Publish) -> Result<(), String> {
        self.with(|instance| {
            instance.services.mqtt.inject(publish).map_err(|error| match error {
                Error::NotConnected { broker, .. } => {
                    format!("the broker `{broker}` is down and delivers no messages: call `broker_up()` first")
                }
                other => other.to_string(),
            })?;
            instance.settle()
        })
    }

    fn advance(&self, duration: Duration) -> Result<(), String> {
        if !self.is_running() {
            self.clock.advance(duration);
            return Ok(());
        }
        self.with(|instance| instance.pass(duration))
    }

    fn advance_to(&self, moment: &str) -> Result<(), String> {
        let time = self.parse_time(moment)?;
        if self.is_running() {
            return self.advance_until(&time);
        }
        self.clock.set(time.timestamp());
        Ok(())
    }

    fn mock_http(&self, method: &str, url: &str, response: MockResponse) -> Result<(), String> {
        self.mocks.add(method, url, response)
    }

    fn request(&self, method: &str, path: &str, with: Map) -> Result<Map, String> {
        let (request, body) = request(method, path, &with)?;
        self.with(|instance| {
            let response = (self.call_webhook)(instance.services.routes.clone(), request, body);
            let (status, headers, body) = instance.wait(response)??;
            let headers = map_of(headers.into_iter().map(|(name, value)| (name, value.into())));
            Ok(map_of([
                ("status".into(), i64::from(status).into()),
                ("headers".into(), headers.into()),
                ("text".into(), String::from_utf8_lossy(&body).into_owned().into()),
            ]))
        })
    }

    fn emit(&self, name: &str, data: Value) -> Result<(), String> {
        let emitted = Emitted { name: name.to_owned(), data, from: "test".to_owned(), hops: 1 };
        self.with(|instance| {
            let bus = instance.services.bus.clone();
            instance.wait_at_once(async move { bus.deliver(bus.route(vec![emitted])).await }).map(|_| ())
        })
    }

    fn fire(&self, script: &str, trigger: &str, data: Value) -> Result<Value, String> {
        let (script, trigger) = (script.to_owned(), trigger.to_owned());
        self.with(|instance| {
            let runtime = instance.runtime.clone();
            let fired = instance.wait(async move { runtime.fire(&script, Some(&trigger), data).await })??;
            Ok(Value::from(fired.value))
        })
    }

    fn change_file(&self, path: &str, text: Option<&str>) -> Result<(), String> {
        let file = self.file(path);
        self.with(|instance| {
            let changed = instance.files.change(&file, text.map(str::as_bytes));
            changed.map_err(|error| format!("{path}: {error}"))?;
            instance.settle()
        })
    }

    fn set_state(&self, script: &str, key: &str, value: Value) -> Result<(), String> {
        let edit = StateEdit { cleared: Vec::new(), values: vec![(format!("script:{script}"), key.to_owned(), value)] };
        self.store.edit(&edit).map_err(|error| error.to_string())
    }

    fn state(&self, script: &str) -> Result<Map, String> {
        self.store.values(&format!("script:{script}")).map_err(|error| error.to_string())
    }

    fn set_secret(&self, name: &str, value: &str) -> Result<(), String> {
        let mut config = (*self.config()).clone();
        config.secrets.retain(|(known, _)| known != name);
        config.secrets.push((name.to_owned(), Secret::new(value)));
        let config = Arc::new(config);
        *self.config.lock() = config.clone();
        if !self.is_running() {
            return Ok(());
        }
        self.with(|instance| {
            let runtime = instance.runtime.clone();
            let applied = instance.wait_at_once(async move { runtime.apply(config).await })?;
            applied.map(|_| ()).map_err(|faults| fault::reports(&faults))
        })
    }

    fn set_broker_down(&self, broker: Option<&str>, is_down: bool) -> Result<(), String> {
        self.with(|instance| {
            let mqtt = &instance.services.mqtt;
            self.brokers.set_down(mqtt, broker, is_down).map_err(|error| error.to_string())?;
            instance.settle()
        })
    }

    fn restart(&self) -> Result<(), String> {
        self.with(|instance| {
            instance.stop()?;
            self.baseline().logs.extend(instance.runtime.recent_logs());
            Ok(())
        })?;
        drop(self.instance.lock().take());
        self.with(|_| Ok(()))
    }

    fn published(&self) -> Vec<Map> {
        self.all_published().split_off(self.baseline().published)
    }

    fn requests(&self) -> Vec<Map> {
        self.mocks.requests()[self.baseline().requests..].to_vec()
    }

    fn runs(&self) -> Result<Vec<Map>, String> {
        let runs = self.all_runs()?;
        let baseline = self.baseline();
        Ok(runs.iter().filter(|run| !baseline.runs.contains(&run.id)).map(|run| self.run_map(run)).collect())
    }

    fn logs(&self) -> Vec<Map> {
        let (mut lines, logged) = (self.all_logs(), self.baseline().logged);
        lines.split_off(logged.min(lines.len()))
    }

    fn clear_records(&self) {
        let (published, logged) = (self.all_published().len(), self.all_logs().len());
        let runs = self.all_runs().unwrap_or_default().into_iter().map(|run| run.id).collect();
        let mut baseline = self.baseline();
        (baseline.published, baseline.logged, baseline.runs) = (published, logged, runs);
        baseline.requests = self.mocks.requests().len();
    }

    fn print(&self, text: &str) {
        self.printed.lock().push(text.to_owned());
    }

    fn expect_failure(&self, script: &str, kind: &str) -> Result<(), String> {
        self.mark_expected_failures(script, kind)
    }
}

/// Builds a web request.
fn request(method: &str, path: &str, with: &Map) -> Result<(::http::request::Builder, Vec<u8>), String> {
    const KNOWN: [&str; 4] = ["json", "body", "headers", "query"];
    if let Some(unknown) = with.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("request: there is no option `{unknown}`: there are {}", KNOWN.join(", ")));
    }
    let text = |value: &Value| value.as_text().map_or_else(|| value.to_json_text(), str::to_owned);
    let pairs = |name: &str| match with.get(name) {
        Some(Value::Map(pairs)) => pairs.iter().map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let mut uri = path.to_owned();
    let query = pairs("query");
    if !query.is_empty() {
        let written = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        uri = format!("{uri}{}{written}", if uri.contains('?') { '&' } else { '?' });
    }
    let mut request = ::http::Request::builder().method(method.to_uppercase().as_str()).uri(uri);
    let body = match (with.get("json"), with.get("body")) {
        (Some(json), _) => {
            request = request.header("content-type", "application/json");
            json.to_json_text().into_bytes()
        }
        (None, Some(Value::Bytes(bytes))) => bytes.clone(),
        (None, Some(body)) => text(body).into_bytes(),
        (None, None) => Vec::new(),
    };
    for (name, value) in pairs("headers") {
        request = request.header(name, value);
    }
    Ok((request, body))
}
