//! HTTP out: pooled clients, redirects by our own loop, a limit on everything.

use std::sync::Arc;

/// HTTP out; cheap to clone.
#[derive(Clone, Default)]
pub struct Http(Arc<()>);
