//! Templates of `rhaid new`.

use crate::options::nearest;

/// The default template.
pub(super) const DEFAULT: &str = "mqtt";

/// A template for a script and its test; `@name@` is replaced by the name of the script.
pub(super) struct Template {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    pub(super) test: &'static str,
    /// Entries that rhaid.yaml needs for it.
    pub(super) needs: Option<&'static str>,
}

macro_rules! template {
    ($name:literal, $needs:expr) => {
        Template {
            name: $name,
            script: include_str!(concat!("templates/", $name, ".rhai")),
            test: include_str!(concat!("templates/", $name, "_test.rhai")),
            needs: $needs,
        }
    };
}

/// All templates, from simple to complex.
pub(super) const TEMPLATES: &[Template] = &[
    template!("mqtt", None),
    template!("cron", None),
    template!("every", None),
    template!("sun", Some("location: { latitude: 59.91, longitude: 10.75 }\n")),
    template!("timer", None),
    template!("webhook", None),
    template!("watch-file", Some("permissions:\n  \"@name@\": { read: [./inbox] }\n")),
    template!("http-poll", None),
    template!("notify", None),
    template!("motion-light", None),
    template!("thermostat", None),
    template!("device-watchdog", None),
];

impl Template {
    /// Returns the template with a name.
    ///
    /// # Errors
    /// If there is none; the message names a similar one.
    pub(super) fn called(name: &str) -> Result<&'static Self, String> {
        let found = TEMPLATES.iter().find(|template| template.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let near = nearest(name, TEMPLATES.iter().map(|template| template.name));
            let list = || "see `rhaid new --list`".to_owned();
            let hint = near.map_or_else(list, |near| format!("did you mean `{near}`?"));
            format!("there is no template `{name}`: {hint}")
        })
    }

    /// Returns the description in the first line of the script.
    pub(super) fn summary(&self) -> &'static str {
        self.script.lines().next().unwrap_or_default().trim_start_matches("//! ")
    }
}
