//! What a component or module imports, read from its bytes without compiling or running it.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

/// The names of the interfaces that a component imports, or of the modules that a core module
/// imports from, sorted.
///
/// # Errors
///
/// What is wrong with the bytes, where they are no WebAssembly.
pub fn imports(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let binary = wat::parse_bytes(bytes).map_err(|error| error.to_string())?;
    let (mut names, mut depth) = (BTreeSet::new(), 0_u32);
    for payload in Parser::new(0).parse_all(&binary) {
        match payload.map_err(|error| error.to_string())? {
            // What stands inside is given its imports by what is around it.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| error.to_string())?;
                    names.insert(import.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) if depth == 0 => {
                for import in section.into_imports() {
                    let import = import.map_err(|error| error.to_string())?;
                    names.insert(import.module.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        imports(text.as_bytes()).unwrap().into_iter().collect()
    }

    #[test]
    fn imports_are_those_of_the_outermost_alone() {
        let module =
            r#"(module (import "b" "f" (func)) (import "a" "g" (func)) (import "b" "h" (func)))"#;
        assert_eq!(of(module), ["a", "b"]);
        let component = r#"(component
            (core module $m (import "inner" "f" (func)))
            (component (import "deeper:x/y" (instance)))
            (import "wasi:cli/environment@0.2.0" (instance))
            (import "plain" (func)))"#;
        assert_eq!(of(component), ["plain", "wasi:cli/environment@0.2.0"]);
        assert_eq!(of("(component)"), [""; 0]);
        assert!(imports(b"\0asm\x01\0\0\0\x02\xff").is_err());
        assert!(imports(b"nonsense").is_err());
    }
}
