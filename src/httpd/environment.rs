//! `AuthDjangoExport`: a user's variables, for whoever was let in by whatever means.

use super::request::Request;
use super::{authz_provider, log};
use crate::error::Error;
use crate::user::User;
use std::sync::Arc;

/// Nothing that another request of the chain, or the configuration, left under our names.
pub(super) fn clear(request: &Request<'_>) {
    let export = request.config().and_then(|config| config.export.get());
    let variables = export.into_iter().flat_map(|export| export.variables());
    for variable in request.top().memo().export(variables) {
        request.unset_variable(&variable);
    }
}

/// `AuthDjangoExport`, for the user whom we let in. What did not come with the row, as where a
/// section within a sub-request exports more, is looked up.
///
/// # Errors
/// When that lookup fails.
pub(super) fn set(request: &Request<'_>, user: &Arc<User>) -> Result<(), Error> {
    let Some(config) = request.config() else { return Ok(()) };
    let Some(export) = config.export.get() else { return Ok(()) };
    let wants = export.wants(config.user_model.get().map(Arc::as_ref));
    let found = match user.known.cover(&wants) {
        true => Some(Arc::clone(user)),
        false => {
            authz_provider::user(request, user.username.as_bytes(), &wants)?.map(|(_, user)| user)
        }
    };
    let Some(found) = found else { return Ok(()) };
    for (variable, value) in export.values(&found) {
        match value {
            Ok(Some(value)) => request.set_variable(variable, &value),
            Ok(None) => {}
            Err(reason) if log::wants(request, log::Level::Debug) => {
                let (name, uri) = (&user.username, request.uri());
                let text = format!("user {name}: {variable} is not set for \"{uri}\": {reason}");
                log::request(request, log::Level::Debug, &text);
            }
            Err(_) => {}
        }
    }
    Ok(())
}
