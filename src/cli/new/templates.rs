//! What a script can begin as.

use crate::options::nearest;

/// The template where none is named.
pub(super) const DEFAULT: &str = "mqtt";

/// What a script and its test begin as; `@name@` stands for the script's name.
pub(super) struct Template {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    pub(super) test: &'static str,
    /// What rhaid.yaml must say for it.
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

/// The templates, the simple ones first.
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
    /// Returns the template of that name.
    ///
    /// # Errors
    /// Why there is none, with the one that was likely meant.
    pub(super) fn called(name: &str) -> Result<&'static Self, String> {
        let found = TEMPLATES.iter().find(|template| template.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let near = nearest(name, TEMPLATES.iter().map(|template| template.name));
            let list = || "`rhaid new --list` shows them".to_owned();
            let hint = near.map_or_else(list, |near| format!("did you mean `{near}`?"));
            format!("there is no template `{name}`: {hint}")
        })
    }

    /// Returns what it does, as its first line says.
    pub(super) fn summary(&self) -> &'static str {
        self.script.lines().next().unwrap_or_default().trim_start_matches("//! ")
    }
}
