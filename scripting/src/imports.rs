//! `import` inside the fence: only files below the script's folder.

use crate::host::{Fallible, Host, fail};
use rhai::{EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

/// Finds imported files; refuses to leave the script's folder.
pub struct Imports {
    host: Rc<Host>,
    open: RefCell<Vec<PathBuf>>,
}

impl Imports {
    /// A resolver for the folder that the host was given.
    pub fn new(host: Rc<Host>) -> Self {
        Self { host, open: RefCell::default() }
    }

    /// The file that `path` means, links resolved.
    fn find(&self, path: &str) -> Fallible<PathBuf> {
        let folder = &self.host.options.folder;
        let missing =
            |_| fail(format!("cannot import \"{path}\": no such file in {}", folder.display()));
        let root = folder.canonicalize().map_err(missing)?;
        let name = if path.ends_with(".rhai") { path.into() } else { format!("{path}.rhai") };
        let file = root.join(name).canonicalize().map_err(missing)?;
        if file.starts_with(&root) {
            return Ok(file);
        }
        Err(fail(format!("cannot import \"{path}\": imports stay below {}", root.display())))
    }

    fn load(&self, engine: &rhai::Engine, path: &str) -> Fallible<Shared<Module>> {
        let file = self.find(path)?;
        if self.open.borrow().contains(&file) {
            return Err(fail(format!("cannot import \"{path}\": it imports itself")));
        }
        let text = std::fs::read_to_string(&file)
            .map_err(|error| fail(format!("cannot import \"{path}\": {error}")))?;
        self.host.sources.borrow_mut().insert(path.into(), text.as_str().into());
        self.host.imported.borrow_mut().insert(file.clone(), text.clone());
        let mut ast = engine
            .compile(&text)
            .map_err(|error| EvalAltResult::ErrorParsing(*error.0, error.1))?;
        ast.set_source(path);
        self.open.borrow_mut().push(file);
        let module = Module::eval_ast_as_new(Scope::new(), &ast, engine);
        self.open.borrow_mut().pop();
        module.map(Shared::new)
    }
}

impl ModuleResolver for Imports {
    fn resolve(
        &self,
        engine: &rhai::Engine,
        _source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Fallible<Shared<Module>> {
        self.load(engine, path).map_err(|error| {
            // The failure lies in the imported text, except when that could not be read at all.
            let inside = !error.position().is_none();
            if inside {
                Box::new(EvalAltResult::ErrorInModule(path.into(), error, position))
            } else {
                error
            }
        })
    }
}
