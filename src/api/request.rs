//! Requests and the envelope of responses.

use serde::{Deserialize, Serialize};

use crate::services::store::RunQuery;

/// A request to a running rhaid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Lists the scripts and their triggers. Response: a list of [`crate::runtime::Listed`].
    List,
    /// Calls a handler. Response: [`crate::runtime::Fired`], at the end of the run.
    Fire {
        /// The script's name.
        script: String,
        /// The trigger's name; `None`: the script's only one.
        trigger: Option<String>,
        /// The fields of the handler's argument.
        data: serde_json::Value,
    },
    /// Enables or disables a script permanently. Response: `null`.
    SetEnabled {
        /// The script's name.
        script: String,
        /// Whether its triggers are active.
        enabled: bool,
    },
    /// Lists run records, newest first. Response: a list of [`crate::api::RunEntry`].
    Runs {
        /// The filter.
        query: RunQuery,
    },
    /// Returns one run record. Response: a [`crate::api::RunInfo`], or `null`.
    Run {
        /// Its id, or the end of it.
        id: String,
    },
    /// Calls a handler again with an event from the run history. Response: [`crate::runtime::Replayed`], at the end of the run.
    Replay {
        /// The run's id, or the end of it.
        id: String,
    },
    /// Lists the namespaces of state. Response: a list of [`crate::api::StateSpace`].
    StateSpaces,
    /// Returns the values of a namespace. Response: an object, as [`crate::value::Value::to_stored`] writes it.
    StateValues {
        /// `script:NAME` or `shared:NAMESPACE`.
        space: String,
    },
    /// Edits state. Response: `null`.
    StateEdit {
        /// Namespaces to clear before the values are set.
        cleared: Vec<String>,
        /// Namespace, key and value, as [`crate::value::Value::to_stored`] writes it; `null` removes the key.
        values: Vec<(String, String, serde_json::Value)>,
    },
    /// Writes all pending data to disk. Response: `null`, after the commit.
    Flush,
    /// Returns the most recent log lines. Responses: a [`crate::api::LogLine`] each, then `null` unless `follow`.
    Logs {
        /// Only lines of this script.
        script: Option<String>,
        /// Whether to continue with new lines.
        follow: bool,
    },
    /// Subscribes to the HTTP responses that scripts receive. Responses: a [`crate::api::HttpTapMessage`] each.
    TapHttp,
}

/// The envelope of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The response.
    Value(serde_json::Value),
    /// Why the request failed.
    Error(String),
}
