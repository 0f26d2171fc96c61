//! Secrets and environment variables.

use rhai::plugin::*;

use crate::config::Need;
use crate::functions::outside::permissions::check;
use crate::functions::thrown::{Thrown, invalid_argument, thrown};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "outside", functions);
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Returns a secret from `rhaid.yaml`. Its value is masked in logs, errors and the run history. You can also use it at the top level.
    ///
    /// # Example
    /// ```rhai
    /// let token = secret("ntfy_token");
    /// assert_eq(token, "s3cret-value");
    /// ```
    #[rhai_fn(name = "secret", return_raw)]
    pub fn secret(name: &str) -> Result<String, Thrown> {
        let config = check("secret", Need::Secret(name))?;
        let known = config.secrets.iter().find(|(known, _)| known == name);
        known.map(|(_, secret)| secret.expose().to_owned()).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            thrown("not_found", format!("there is no secret {shown:?}: add it under `secrets:` in rhaid.yaml"))
        })
    }

    /// Returns an environment variable of rhaid, or `()` if it is not set. You can also use it at the top level.
    ///
    /// # Example
    /// ```rhai
    /// let path = env("PATH");
    /// assert(path.contains("/"));
    /// assert_eq(env("NO_SUCH_VARIABLE"), ());
    /// ```
    #[rhai_fn(name = "env", return_raw)]
    pub fn env(name: &str) -> Result<Dynamic, Thrown> {
        check("env", Need::Variable(name))?;
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(invalid_argument("the name of a variable must not be empty or contain `=`"));
        }
        Ok(std::env::var_os(name).map_or(Dynamic::UNIT, |value| value.to_string_lossy().into_owned().into()))
    }
}
