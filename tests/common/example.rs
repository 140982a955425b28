//! The configurations under `apache/examples/`, run as they stand: a test defines the places that
//! differ, which each example defines for itself where nobody has.

use super::django::python;
use super::httpd::Setup;
use super::{is_root, run};
use std::path::Path;
use std::process::Command;

/// What the examples need of the server, on Debian, whose own configuration closes every directory.
/// The users of `database` are changed in Django first (`tests/django/change.py`).
pub fn base(database: &Path, changes: &[&str]) -> String {
    run(python("5.2", "change.py", database.to_str().unwrap(), "auth.User").args(changes));
    format!(
        "AuthDjangoDatabase sqlite:{}\nAuthDjangoPasswordHashers pbkdf2_sha256:1000\n\
         <Directory />\nAllowOverride None\nRequire all denied\n</Directory>\n",
        database.display()
    )
}

/// Hands a folder and all that is in it to httpd's user, as the examples tell administrators to.
pub fn hand_over(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "www-data:"]).arg(folder));
    }
}

/// A server that includes the example `name`, below the test's own `config`, with the modules that
/// the example says.
pub fn setup(name: &str, defines: &[(&str, &str)], config: &str) -> Setup {
    let mut text = String::from(config);
    for (variable, value) in defines {
        text += &format!("Define {variable} \"{value}\"\n");
    }
    let file = format!("{}/apache/examples/{name}.conf", env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(&file).unwrap();
    let line = example.lines().find_map(|line| line.split_once("a2enmod ")).unwrap().1;
    // What stands in brackets is for the reader.
    let modules: Vec<&str> = line.split(" (").next().unwrap().split(' ').collect();
    Setup::new(name, text + &format!("Include {file}\n")).modules(&modules)
}
