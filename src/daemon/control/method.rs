//! Which methods are there, and who may call them? A varlink call to a [`Method`], or to the reply that needs nobody.

use linnet::api::{BrowseParameters, Call, DEFINITION, INTERFACE, Reply, SubscribeParameters};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::input::Method;
use crate::world::Steer;

/// The interface that every varlink service has.
const SERVICE: &str = "org.varlink.service";
/// Its definition, which never changes.
const SERVICE_DEFINITION: &str = "interface org.varlink.service

method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)

error MethodNotFound (method: string)

error MethodNotImplemented (method: string)

error InvalidParameter (parameter: string)

error PermissionDenied ()

error ExpectedMore ()
";

/// What a call comes to.
#[derive(Debug)]
pub(super) enum Asked {
    /// This reply.
    Reply(Reply),
    /// The world's answer.
    Method(Method),
    /// A stream of notices.
    Subscribe(SubscribeParameters),
    /// A stream of what neighbours have.
    Browse(BrowseParameters),
}

/// Understands a call.
pub(super) fn understand(call: Call, privileged: bool) -> Asked {
    ask(call, privileged).unwrap_or_else(Asked::Reply)
}

/// Makes an error of our interface, with a message.
pub(crate) fn error(name: &str, message: impl Into<String>) -> Reply {
    Reply {
        parameters: json!({ "message": message.into() }),
        error: Some(format!("{INTERFACE}.{name}")),
        ..Reply::default()
    }
}

/// Makes a value of a result; our types are plain JSON.
pub(crate) fn to_value(result: &impl Serialize) -> Value {
    serde_json::to_value(result).expect("the types of the interface are plain JSON")
}

/// Makes the error of a parameter that is not valid.
pub(crate) fn invalid_parameter(parameter: &str) -> Reply {
    service_error("InvalidParameter", json!({ "parameter": parameter }))
}

fn ask(call: Call, privileged: bool) -> Result<Asked, Reply> {
    let Some((interface, method)) = call.method.rsplit_once('.') else {
        let parameters = json!({ "method": call.method });
        return Err(service_error("MethodNotFound", parameters));
    };
    if call.upgrade {
        let parameters = json!({ "method": call.method });
        return Err(service_error("MethodNotImplemented", parameters));
    }
    match interface {
        SERVICE => Ok(Asked::Reply(introspect(method, call.parameters)?)),
        INTERFACE => {
            if is_for_masters(method) && !privileged {
                return Err(service_error("PermissionDenied", Value::Null));
            }
            ours(method, call.parameters, call.more)
        }
        other => Err(service_error(
            "InterfaceNotFound",
            json!({ "interface": other }),
        )),
    }
}

/// Whether only root, the daemon's own user and who started it may call; the others change nothing.
fn is_for_masters(method: &str) -> bool {
    matches!(
        method,
        "Claim"
            | "Withdraw"
            | "Flush"
            | "Reload"
            | "AddNegativeAnchor"
            | "RemoveNegativeAnchor"
            | "Up"
            | "Down"
            | "Adopt"
            | "Release"
            | "Renew"
    )
}

fn ours(method: &str, parameters: Value, more: bool) -> Result<Asked, Reply> {
    Ok(Asked::Method(match method {
        "Status" => Method::Status(read(parameters)?),
        "Query" => Method::Query(read(parameters)?),
        "Explain" => Method::Explain(read(parameters)?),
        "Claim" => Method::Claim(read(parameters)?),
        "Withdraw" => Method::Withdraw(read(parameters)?),
        "Flush" => Method::Flush(read(parameters)?),
        "AddNegativeAnchor" => Method::AddNegativeAnchor(read(parameters)?),
        "RemoveNegativeAnchor" => Method::RemoveNegativeAnchor(read(parameters)?),
        "Reload" => Method::Reload,
        "Up" => Method::Steer(Steer::Up, read(parameters)?),
        "Down" => Method::Steer(Steer::Down, read(parameters)?),
        "Adopt" => Method::Steer(Steer::Adopt, read(parameters)?),
        "Release" => Method::Steer(Steer::Release, read(parameters)?),
        "Renew" => Method::Steer(Steer::Renew, read(parameters)?),
        "Plan" => Method::Plan,
        "Browse" if more => return Ok(Asked::Browse(read(parameters)?)),
        "Browse" => return Err(service_error("ExpectedMore", Value::Null)),
        "Subscribe" if more => return Ok(Asked::Subscribe(read(parameters)?)),
        "Subscribe" => return Err(service_error("ExpectedMore", Value::Null)),
        other => {
            let method = format!("{INTERFACE}.{other}");
            return Err(service_error("MethodNotFound", json!({ "method": method })));
        }
    }))
}

fn introspect(method: &str, parameters: Value) -> Result<Reply, Reply> {
    #[derive(serde::Deserialize)]
    struct Which {
        interface: String,
    }
    let parameters = match method {
        "GetInfo" => json!({
            "vendor": "linnet",
            "product": "linnetd",
            "version": env!("CARGO_PKG_VERSION"),
            "url": "",
            "interfaces": [SERVICE, INTERFACE],
        }),
        "GetInterfaceDescription" => {
            let Which { interface } = read(parameters)?;
            let description = match interface.as_str() {
                SERVICE => SERVICE_DEFINITION,
                INTERFACE => DEFINITION,
                other => {
                    let parameters = json!({ "interface": other });
                    return Err(service_error("InterfaceNotFound", parameters));
                }
            };
            json!({ "description": description })
        }
        other => {
            let method = format!("{SERVICE}.{other}");
            return Err(service_error("MethodNotFound", json!({ "method": method })));
        }
    };
    Ok(Reply {
        parameters,
        ..Reply::default()
    })
}

fn read<T: DeserializeOwned>(parameters: Value) -> Result<T, Reply> {
    let parameters = if parameters.is_null() {
        json!({})
    } else {
        parameters
    };
    deserialize(parameters).map_err(|parameter| invalid_parameter(&parameter))
}

/// Reads parameters; the error is the name of the one that is wrong, as far as it can be told.
fn deserialize<T: DeserializeOwned>(parameters: Value) -> Result<T, String> {
    let Value::Object(object) = &parameters else {
        return Err("parameters".to_owned());
    };
    let text = match T::deserialize(&parameters) {
        Ok(value) => return Ok(value),
        Err(error) => error.to_string(),
    };
    // A missing or unknown parameter is named between backticks; a wrong value is found by leaving out one at a time.
    if text.starts_with("missing field") || text.starts_with("unknown field") {
        let name = text.split('`').nth(1).unwrap_or("parameters");
        return Err(name.to_owned());
    }
    let culprit = object.keys().find(|key| {
        let mut rest = object.clone();
        rest.remove(*key);
        match T::deserialize(Value::Object(rest)) {
            Ok(_) => true,
            Err(error) => error.to_string() != text && error.to_string().contains("missing field"),
        }
    });
    Err(culprit.map_or_else(|| "parameters".to_owned(), Clone::clone))
}

fn service_error(name: &str, parameters: Value) -> Reply {
    Reply {
        parameters,
        error: Some(format!("{SERVICE}.{name}")),
        ..Reply::default()
    }
}
