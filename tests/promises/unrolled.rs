//! Loops are written out for a compiler that unrolls none, and mean what they meant. CI trains in a browser on SwiftShader, whose products are in this form.

use naga::{Expression, Literal, Module, Statement};
use wgrad::kernel::Launch;
use wgrad::kernel::link::{Form, link};
use wgrad::selftest::shaders::every_launch;

/// A shader in place of the register tile, linked: in a form without loops, or as it is.
fn linked(body: &str, unrolled: bool) -> String {
    let launches = every_launch().unwrap();
    let (_, launch) = launches.into_iter().find(|(_, launch)| launch.kernel == "dense_forward").unwrap();
    let text = format!(
        "const COUNT = 2u * (1u + 1u);\n@group(0) @binding(0) var<storage, read_write> out: array<u32>;\n\
         @compute @workgroup_size(1) fn main() {{ {body} }}"
    );
    let launch = Launch {
        root: "tile/register",
        mounts: vec![],
        constants: vec![("tile/register", text)],
        bindings: vec![],
        ..launch
    };
    link(&launch, Form { enables: false, unrolled }).unwrap()
}

/// The values that `main` stores, in order, where they are literals and in no loop.
fn stored(wgsl: &str) -> Option<Vec<u32>> {
    fn of(block: &naga::Block, module: &Module, values: &mut Vec<u32>) -> bool {
        block.iter().all(|statement| match statement {
            Statement::Block(inner) => of(inner, module, values),
            Statement::If { accept, reject, .. } => of(accept, module, values) && of(reject, module, values),
            Statement::Loop { .. } => false,
            Statement::Store { value, .. } => {
                let function = &module.entry_points[0].function;
                let Expression::Literal(Literal::U32(value)) = function.expressions[*value] else { return false };
                values.push(value);
                true
            }
            _ => true,
        })
    }
    let module = naga::front::wgsl::parse_str(wgsl).unwrap_or_else(|error| panic!("{}", error.emit_to_string(wgsl)));
    let mut values = vec![];
    of(&module.entry_points[0].function.body, &module, &mut values).then_some(values)
}

/// Finds a loop that is written out with other values, other ends or another order than it counts.
#[test]
fn a_loop_of_constants_is_written_out_as_it_counts() {
    for (body, values) in [
        ("for (var i = 0u; i < COUNT; i++) { out[i] = 10u * i; }", vec![0, 10, 20, 30]),
        ("for (var i = 1u; i < COUNT; i += 2u) { out[i] = i; }", vec![1, 3]),
        ("for (var i = 3u; i < 3u; i++) { out[i] = i; }", vec![]),
        (
            "const N = COUNT - 2u; for (var i = 0u; i < N; i++) { for (var j = 0u; j < N; j++) { out[i] = 10u * i + j; } }",
            vec![0, 1, 10, 11],
        ),
        (
            "for (var i = 1u; i < 4u; i++) { for (var j = 0u; j < i; j++) { out[j] = 10u * i + j; } }",
            vec![10, 20, 21, 30, 31, 32],
        ),
        (
            "for (var i = 0u; i < 2u; i++) { if out[0] > 1u { out[i] = i; } else { for (var j = 0u; j < 2u; j++) { out[j] = 5u; } } }",
            vec![0, 5, 5, 1, 5, 5],
        ),
        ("for (var i = 0u; i < 2u; i++) { let input = 3u; let p = &out; out[i & input] = 7u; }", vec![7, 7]),
    ] {
        let wgsl = linked(body, true);
        assert_eq!(stored(&wgsl), Some(values), "{wgsl}");
        assert!(!wgsl.contains("for"), "{wgsl}");
        assert!(linked(body, false).contains("for"), "{body}");
    }
}

/// Finds a loop that is written out although it may end elsewhere, or counts otherwise.
#[test]
fn other_loops_stay_as_they_are() {
    for body in [
        "for (var i = 0u; i < COUNT; i++) { if out[i] > 1u { break; } }",
        "for (var i = 0u; i < COUNT; i++) { if out[i] > 1u { continue; } out[i] = 1u; }",
        "for (var i = 0u; i < COUNT; i++) { out[i] = 1u; i += 1u; }",
        "for (var i = 0u; i < COUNT; i++) { i++; }",
        "for (var i = 0u; i < COUNT; i++) { let p = &i; *p = 3u; }",
        "for (var i = 0u; i < out[0]; i++) { out[i] = 1u; }",
        "for (var i = out[0]; i < COUNT; i++) { out[i] = 1u; }",
        "for (var i = 0u; i < 17u; i++) { out[i] = 1u; }",
        "for (var i = 0u; i < COUNT; i += 0u) { out[i] = 1u; }",
        "let COUNT = out[1]; for (var i = 0u; i < COUNT; i++) { out[i] = 1u; }",
        "for (var i = 0; i < 3; i++) { out[i] = 1u; }",
        "for (var i = 0u; i < COUNT; i++) { (i) = 3u; }",
        "for (var i = 0u; i < COUNT; i++) { (i)++; }",
        "for (var i = 0u; i < COUNT; i++) { let p = &(i); *p = 3u; }",
        "for (var i = 0u; i < COUNT; i++) { for (; out[i] < 1u; i++) { out[i] = 1u; } }",
        "const n = 3u; for (var n = 0u; n < out[0]; n++) { for (var j = 0u; j < n; j++) { out[j] = 1u; } }",
    ] {
        let wgsl = linked(body, true);
        assert_eq!(wgsl, linked(body, false));
        assert!(wgsl.contains("for"), "{wgsl}");
    }
}
