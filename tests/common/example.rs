//! The configurations under `apache/examples/`, run as they stand: a test defines the places that
//! differ, which each example defines for itself where nobody has.

use super::httpd::Setup;

/// A server that includes the example `name`, below the test's own `config`.
pub fn setup(name: &str, defines: &[(&str, &str)], config: &str) -> Setup {
    let mut text = String::from(config);
    for (variable, value) in defines {
        text += &format!("Define {variable} \"{value}\"\n");
    }
    let file = format!("{}/apache/examples/{name}.conf", env!("CARGO_MANIFEST_DIR"));
    Setup::new(name, text + &format!("Include {file}\n"))
}
