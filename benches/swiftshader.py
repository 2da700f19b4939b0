#!/usr/bin/env python3
"""What a software driver makes of loops, arrays and loads: billions of operations, or of numbers loaded, a second.

    pip install wgpu==0.32.0
    VK_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json benches/swiftshader.py

RESULTS.md has what came of it: loops are written out for SwiftShader (src/kernel/unroll.rs)."""
import time

import wgpu

TURNS = 1000
INVOCATIONS, WORKGROUP = 8192, 8
adapter = wgpu.gpu.request_adapter_sync()
device = adapter.request_device_sync()


def seconds(body):
    """The least of four runs of a kernel whose result is stored."""
    code = f"""
        @group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
        @group(0) @binding(1) var<storage, read> values: array<vec4f>;
        @compute @workgroup_size({WORKGROUP})
        fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{ let at = id.x; let one = groups.z; {body} }}"""
    pipeline = device.create_compute_pipeline(layout="auto", compute={"module": device.create_shader_module(code=code), "entry_point": "main"})
    out = device.create_buffer(size=1 << 20, usage=wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC)
    values = device.create_buffer(size=1 << 22, usage=wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_DST)
    whole = lambda buffer: {"buffer": buffer, "offset": 0, "size": buffer.size}
    entries = [{"binding": at, "resource": whole(buffer)} for at, buffer in enumerate([out, values])]
    group = device.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
    times = []
    for _ in range(4):
        encoder = device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        compute.set_pipeline(pipeline)
        compute.set_bind_group(0, group)
        compute.dispatch_workgroups(INVOCATIONS // WORKGROUP)
        compute.end()
        began = time.perf_counter()
        device.queue.submit([encoder.finish()])
        device.queue.read_buffer(out, size=16)
        times.append(time.perf_counter() - began)
    return min(times)


def repeated(work):
    return f"for (var turn = 0u; turn < {TURNS}u * one; turn++) {{ {work} }}"


FOUR = "let a = values[at]; let b = values[at + 1u]; var s: array<vec4f, 4>; s[0] = a; s[1] = b;"
STORE = "out[at] = s[0] + s[1] + s[2] + s[3];"
written_out = "".join(f"s[{i}] = fma(s[{i}], a, b);" for i in range(4))
# Words, the body, and operations or numbers of an invocation.
for words, body, count in [
    ("four fma of four numbers, by constant indices", FOUR + repeated(written_out) + STORE, 32 * TURNS),
    ("the same by a loop's variable", FOUR + repeated("for (var i = 0u; i < 4u; i++) { s[i] = fma(s[i], a, b); }") + STORE, 32 * TURNS),
    ("a product and a sum in place of each fma", FOUR + repeated(written_out.replace("fma(", "(").replace(", a, b", " * a + b")) + STORE, 32 * TURNS),
    ("a load of four numbers, each lane its own", "var s = vec4f();" + repeated("s += values[(4u * at + turn) & 65535u];") + "out[at] = s;", 4 * TURNS),
    ("four such loads a turn", "var s = vec4f();" + repeated("let i = (at + turn) & 16383u; s += values[i] + values[i + 16384u] + values[i + 32768u] + values[i + 49152u];") + "out[at] = s;", 16 * TURNS),
    ("a load of four numbers, the same in all lanes", "var s = vec4f();" + repeated("s += values[turn & 65535u];") + "out[at] = s;", 4 * TURNS),
    ("a root and a quotient of four numbers", "var s = values[at];" + repeated("s = sqrt(s) / (s + 1.0);") + "out[at] = s;", 8 * TURNS),
]:
    print(f"{words:52} {count * INVOCATIONS / seconds(body) / 1e9:7.2f} G/s")
