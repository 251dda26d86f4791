//! Whether a component's entry is of the type that its interface says: found before anything is
//! released to it, and not when it is called.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};

/// Where a component can be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// `wasi:cli/run@0.2`, or 0.3 as `version` says.
    Program { version: &'static str },
    /// `leyden:app/work@0.1`.
    Work,
}

impl Entry {
    fn interface(self) -> String {
        match self {
            Self::Program { version } => format!("wasi:cli/run@{version}."),
            Self::Work => "leyden:app/work@0.1.".to_owned(),
        }
    }

    /// Whether the component's function `run` there has the right type.
    pub(super) fn is_typed_right(self, component: &Component, engine: &Engine) -> bool {
        let interface = self.interface();
        let component = component.component_type();
        let instances = component.exports(engine).filter_map(|(name, export)| {
            match name.starts_with(&interface) {
                true => Some(export.ty),
                false => None,
            }
        });
        instances.into_iter().any(|instance| {
            let ComponentItem::ComponentInstance(instance) = instance else {
                return false;
            };
            match instance.get_export(engine, "run").map(|run| run.ty) {
                Some(ComponentItem::ComponentFunc(run)) => self.fits(&run),
                _ => false,
            }
        })
    }

    fn fits(self, run: &ComponentFunc) -> bool {
        let mut results = run.results();
        let (Some(Type::Result(result)), None) = (results.next(), results.next()) else {
            return false;
        };
        let mut params = run.params().map(|(_, param)| param);
        let (param, more) = (params.next(), params.next());
        let is_bytes = |of: Option<Type>| match of {
            Some(Type::List(list)) => list.ty() == Type::U8,
            _ => false,
        };
        match self {
            Self::Program { .. } => {
                param.is_none() && result.ok().is_none() && result.err().is_none()
            }
            Self::Work => {
                is_bytes(param)
                    && more.is_none()
                    && is_bytes(result.ok())
                    && result.err() == Some(Type::String)
            }
        }
    }
}
