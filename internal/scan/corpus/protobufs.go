package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
)

// coreML is a model of a kind, with an input and metadata.
func coreML(version uint64, kind protowire.Number, body []byte, author string) []byte {
	feature := func(name string) []byte { return slices.Concat(text(1, name), field(3, field(2))) }
	description := slices.Concat(field(1, feature("x")), field(10, feature("y")), field(100, text(1, "a model"), text(3, author), field(100, text(1, "com.example.key"), text(2, "value"))))
	return slices.Concat(varint(1, version), field(2, description), field(kind, body))
}

// coreMLBlob is the weights of a program: a record before each of its parts.
func coreMLBlob(parts ...[]byte) []byte {
	le := binary.LittleEndian
	out := append(le.AppendUint32(le.AppendUint32(nil, uint32(len(parts))), 2), make([]byte, 56)...)
	for _, p := range parts {
		out = append(le.AppendUint32(le.AppendUint32(out, 0xDEADBEEF), 2), le.AppendUint64(le.AppendUint64(nil, uint64(len(p))), uint64(len(out)+64))...)
		out = append(append(out, make([]byte, 40)...), p...)
		out = append(out, make([]byte, (64-len(out)%64)%64)...)
	}
	return out
}

// CoreML gives models of Core ML's and weights of programs.
func CoreML() []Case {
	layer := func(number protowire.Number, body ...[]byte) []byte {
		return field(1, text(1, "l"), text(2, "x"), text(3, "y"), field(number, body...))
	}
	operation := func(op string, more ...[]byte) []byte { return field(3, text(1, op), slices.Concat(more...)) }
	program := func(operations ...[]byte) []byte {
		block := field(2, slices.Concat(operations...))
		return slices.Concat(varint(1, 1), field(2, text(1, "main"), field(2, text(2, "CoreML7"), field(3, text(1, "CoreML7"), block))))
	}
	constant := func(file string) []byte {
		return operation("const", field(5, text(1, "val"), field(2, field(5, text(1, file), varint(2, 64)))))
	}
	var out []Case
	add := func(want scan.Status, rule, name string, data []byte) {
		out = append(out, Case{"coreml/" + name, data, want, rule, false})
	}
	for name, data := range map[string][]byte{
		"linear": coreML(1, 300, floats(4), "me"), "network": coreML(4, 500, slices.Concat(layer(130, floats(2)), layer(140, floats(8))), ""), "classifier": coreML(4, 403, layer(140, floats(8)), ""),
		"pipeline": coreML(4, 202, field(1, coreML(1, 604, floats(2), "")), ""), "outer pipeline": coreML(4, 200, field(1, field(1, coreML(4, 402, floats(2), ""))), ""),
		"program": coreML(7, 502, program(operation("ios17.conv"), operation("relu"), operation("cond", field(4, operation("add")))), ""), "program with weights": coreML(7, 502, program(constant("@model_path/weights/weight.bin"), operation("linear")), ""),
		"old program": coreML(6, 502, program(constant("weights/weight.bin")), ""), "trees": coreML(1, 302, floats(64), "nobody"),
		"weights": coreMLBlob(floats(8), floats(40)), "one weight": coreMLBlob(floats(16)),
	} {
		add(scan.Clean, "", name, data)
	}
	for name, data := range map[string][]byte{
		"linked model": coreML(4, 556, field(1, field(1, text(1, "other.mlmodelc"))), ""), "path up": coreML(7, 502, program(constant("@model_path/../../secret")), ""), "path absolute": coreML(7, 502, program(constant("/etc/passwd")), ""),
		"address": coreML(7, 502, program(constant("https://example.org/w")), ""), "path in a block": coreML(7, 502, program(operation("while_loop", field(4, constant("../x")))), ""),
	} {
		add(scan.Found, "coreml-file", name, data)
	}
	add(scan.Found, "coreml-secret", "secret", coreML(1, 300, nil, "AKIA"+strings.Repeat("WXYZ", 4)))
	add(scan.Found, "coreml-personal", "author", coreML(1, 300, nil, "Jane Doe <jane.doe@clinic.org>"))
	weights := coreMLBlob(floats(8), floats(40))
	add(scan.Found, "coreml-extent", "weights count", changed(weights, 0, "\x05\x00\x00\x00"))
	add(scan.Found, "coreml-extent", "weights length", changed(weights, 72, "\xff\xff\xff\x7f"))
	add(scan.Found, "coreml-extent", "weights offset", changed(weights, 80, "\x00\x00\x00\x7f"))
	add(scan.Found, "coreml-extent", "weights cut short", weights[:200])
	for name, data := range map[string][]byte{
		"custom layer": coreML(4, 500, layer(500, text(10, "MyLayer")), ""), "custom model": coreML(4, 555, text(1, "MyModel"), ""), "custom in a pipeline": coreML(4, 202, field(1, coreML(4, 555, text(1, "MyModel"), "")), ""),
		"unknown operation": coreML(7, 502, program(operation("my_operation")), ""), "custom operation": coreML(7, 502, program(operation("custom_layer")), ""),
	} {
		add(scan.Undecided, "coreml-custom", name, data)
	}
	add(scan.Undecided, "coreml-unknown", "unknown kind", coreML(7, 3000, floats(2), ""))
	add(scan.Undecided, "coreml-unknown", "unknown layer", coreML(7, 500, layer(5000, floats(2)), ""))
	out = append(out, Case{"coreml/weights with a pickle after", append(bytes.Clone(weights), Pickle()...), scan.Found, "", true})
	slices.SortFunc(out, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// paddleTensor is a parameter of n numbers.
func paddleTensor(n uint64, content []byte) []byte {
	description := slices.Concat(varint(1, 5), varint(2, n))
	return slices.Concat(make([]byte, 16), binary.LittleEndian.AppendUint32(nil, uint32(len(description))), description, content)
}

// Paddle gives programs and parameters of PaddlePaddle's.
func Paddle() []Case {
	variable := field(3, text(1, "w"), field(2, varint(1, 7)), varint(3, 1))
	operator := func(op string, attributes ...[]byte) []byte {
		return field(4, field(1, text(1, "X"), text(2, "x")), field(2, text(1, "Out"), text(2, "y")), text(3, op), slices.Concat(attributes...))
	}
	program := func(operators ...[]byte) []byte {
		return slices.Concat(field(1, varint(1, 0), varint(2, 1<<64-1), variable, slices.Concat(operators...)), field(4, varint(1, 0)))
	}
	var out []Case
	add := func(want scan.Status, rule, name string, data []byte) {
		out = append(out, Case{"paddle/" + name, data, want, rule, false})
	}
	for i, ops := range [][]string{{"feed", "conv2d", "batch_norm", "relu", "fetch"}, {"matmul_v2", "elementwise_add", "softmax"}, {"while", "less_than"}, {"lookup_table_v2", "layer_norm", "gelu", "reshape2", "transpose2"}} {
		var all [][]byte
		for _, op := range ops {
			all = append(all, operator(op))
		}
		add(scan.Clean, "", fmt.Sprintf("program %d", i), program(all...))
	}
	for _, op := range []string{"py_func", "load_combine", "save", "read_file", "listen_and_serv", "send", "tensorrt_engine", "create_custom_reader", "run_program"} {
		add(scan.Found, "paddle-operator", op, program(operator("relu"), operator(op, field(4, text(1, "file_path"), varint(2, 2), text(5, "/etc/passwd")))))
	}
	add(scan.Undecided, "paddle-unknown", "unknown operator", program(operator("my_own")))
	add(scan.Undecided, "paddle-unknown", "unknown field", append(program(operator("relu")), text(9, "x")...))
	whole := append(paddleTensor(8, floats(8)), paddleTensor(4, floats(4))...)
	add(scan.Clean, "", "parameters", whole)
	add(scan.Clean, "", "one parameter", paddleTensor(2, floats(2)))
	add(scan.Found, "paddle-extent", "parameters cut short", whole[:len(whole)-4])
	add(scan.Found, "paddle-extent", "parameters too large", paddleTensor(1<<39, floats(8)))
	add(scan.Found, "paddle-extent", "parameters negative", paddleTensor(1<<63, floats(8)))
	return append(out, Case{"paddle/parameters with a pickle after", append(bytes.Clone(whole), Pickle()...), scan.Found, "", true}, Case{"paddle/pdparams", Pickle(), scan.Found, "", true})
}
