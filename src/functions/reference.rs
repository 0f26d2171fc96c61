//! What scripts can call, as data: for the reference, the editor's definitions and hints.

#[cfg(test)]
mod tests {
    use crate::functions::PACKAGES;

    #[test]
    fn dump() {
        for package in PACKAGES {
            let mut module = rhai::Module::new();
            (package.register)(&mut module);
            let mut engine = rhai::Engine::new_raw();
            engine.register_global_module(module.into());
            engine.collect_fn_metadata(
                None,
                |info| {
                    let m = info.metadata;
                    println!("{} | {:?} | {} | {:?}", m.name, m.params_info, m.return_type, m.comments);
                    Some(())
                },
                false,
            );
        }
    }
}
