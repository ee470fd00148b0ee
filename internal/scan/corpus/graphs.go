package corpus

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
)

// field is a protobuf field with the bytes of its parts.
func field(number protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), slices.Concat(parts...))
}

func text(number protowire.Number, s string) []byte { return field(number, []byte(s)) }

func varint(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

func onnxNode(op, domain string, more ...[]byte) []byte {
	out := slices.Concat(text(1, "x"), text(2, "y"), text(4, op))
	if domain != "" {
		out = append(out, text(7, domain)...)
	}
	return field(1, append(out, slices.Concat(more...)...))
}

func onnxModel(graph []byte, more ...[]byte) []byte {
	return slices.Concat(varint(1, 10), text(2, "assay"), field(7, graph, text(2, "g")), field(8, varint(2, 21)), slices.Concat(more...))
}

func onnxTensor(raw []byte, dims ...uint64) []byte {
	var out []byte
	for _, d := range dims {
		out = append(out, varint(1, d)...)
	}
	return field(5, out, varint(2, 1), text(8, "w"), field(9, raw))
}

func onnxExternal(location string) []byte {
	return field(5, varint(1, 4), varint(2, 1), text(8, "w"), field(13, text(1, "location"), text(2, location)), varint(14, 1))
}

// ONNX gives ONNX models.
func ONNX() []Case {
	relu := onnxNode("Relu", "")
	function := func(name, domain string) []byte {
		return field(25, text(1, name), text(4, "x"), text(5, "y"), field(7, text(1, "x"), text(2, "y"), text(4, "Relu")), text(10, domain))
	}
	var out []Case
	add := func(want scan.Status, rule, name string, data []byte) {
		out = append(out, Case{"onnx/" + name, data, want, rule, false})
	}
	for name, data := range map[string][]byte{
		"relu": onnxModel(relu), "tensor": onnxModel(append(onnxTensor(floats(4), 2, 2), relu...)), "scalar": onnxModel(append(onnxTensor(floats(1)), relu...)),
		"ml": onnxModel(onnxNode("Scaler", "ai.onnx.ml")), "microsoft": onnxModel(onnxNode("FusedMatMul", "com.microsoft")),
		"function": onnxModel(onnxNode("Mine", "my.own"), function("Mine", "my.own")), "external": onnxModel(append(onnxExternal("weights.bin"), relu...)),
		"external in folder": onnxModel(append(onnxExternal("data/weights.bin"), relu...)), "metadata": onnxModel(relu, field(14, text(1, "author"), text(2, "somebody"))),
		"subgraph": onnxModel(onnxNode("If", "", field(5, text(1, "then_branch"), field(6, relu), varint(20, 5)))),
	} {
		add(scan.Clean, "", name, data)
	}
	vectors := func(values []byte) []byte { return field(5, text(1, "support_vectors"), field(7, values)) }
	compares := func(inputs ...[]byte) []byte {
		return onnxNode("CDist", "com.microsoft", append(inputs, text(2, "distances"))...)
	}
	for name, data := range map[string][]byte{
		"linear machine": onnxModel(onnxNode("SVMClassifier", "ai.onnx.ml", vectors(nil))), "distances of two inputs": onnxModel(append(compares(text(1, "y")), onnxTensor(floats(4), 2, 2)...)),
	} {
		add(scan.Clean, "", name, data)
	}
	for name, data := range map[string][]byte{
		"support vectors": onnxModel(onnxNode("SVMClassifier", "ai.onnx.ml", vectors(floats(6)))), "support vectors of a regression": onnxModel(onnxNode("SVMRegressor", "ai.onnx.ml", vectors(floats(6)))),
		"nearest neighbours": onnxModel(append(compares(text(1, "w")), onnxTensor(floats(4), 2, 2)...)),
	} {
		add(scan.Found, "onnx-records", name, data)
	}
	for _, location := range []string{"/etc/passwd", "../../secret.bin", `..\..\secret.bin`, `C:\secret.bin`, "a/../../b", "file:///etc/passwd", ".."} {
		add(scan.Found, "onnx-external", "external "+location, onnxModel(append(onnxExternal(location), relu...)))
	}
	token := "ghp_" + strings.Repeat("aB3d", 9)
	for rule, cases := range map[string]map[string][]byte{
		"onnx-operator": {
			"python operator": onnxModel(onnxNode("PyOp", "ai.onnx.contrib")), "python custom operator": onnxModel(onnxNode("PyCustomOpDefA", "ai.onnx.contrib")),
			"python function": onnxModel(onnxNode("PythonOp", "com.microsoft")), "python operator in subgraph": onnxModel(onnxNode("Loop", "", field(5, text(1, "body"), field(6, onnxNode("PyOp", "my.own"))))),
			"python operator in function": onnxModel(onnxNode("Mine", "my.own"), field(25, text(1, "Mine"), field(7, text(4, "PyOp"), text(7, "x")), text(10, "my.own"))),
		},
		"onnx-function": {"function for Relu": onnxModel(relu, function("Relu", "")), "function for Conv": onnxModel(relu, function("Conv", "ai.onnx"))},
		"onnx-tensor": {
			"tensor too long": onnxModel(append(onnxTensor(floats(8), 2, 2), relu...)), "tensor too short": onnxModel(append(onnxTensor(floats(1), 2, 2), relu...)),
			"tensor too large": onnxModel(append(onnxTensor(floats(1), 1<<40, 1<<40), relu...)), "tensor negative": onnxModel(append(onnxTensor(floats(1), 1<<63), relu...)),
			"tensor in attribute": onnxModel(onnxNode("Constant", "", field(5, text(1, "value"), field(5, varint(1, 9), varint(2, 1), field(9, floats(1)))))),
		},
		"onnx-secret": {"secret": onnxModel(relu, field(14, text(1, "token"), text(2, token)))},
	} {
		for name, data := range cases {
			add(scan.Found, rule, name, data)
		}
	}
	var crowd []byte // of nodes that are not known, behind which something known to be harmful hides
	for i := range 1200 {
		crowd = append(crowd, onnxNode(fmt.Sprint("Own", i), fmt.Sprint("my.own", i))...)
	}
	add(scan.Found, "onnx-operator", "python operator behind a crowd", onnxModel(append(crowd, onnxNode("PyOp", "ai.onnx.contrib")...)))
	add(scan.Undecided, "onnx-domain", "custom domain", onnxModel(onnxNode("Anything", "my.own")))
	add(scan.Undecided, "onnx-domain", "contrib domain", onnxModel(onnxNode("StringUpper", "ai.onnx.contrib")))
	add(scan.Undecided, "onnx-unknown", "field", onnxModel(append(text(99, "?"), relu...)))
	add(scan.Undecided, "onnx-unknown", "tensor type", onnxModel(append(field(5, varint(1, 1), varint(2, 77), field(9, floats(1))), relu...)))
	cut := onnxModel(relu)
	add(scan.Undecided, "", "cut short", cut[:len(cut)-2])
	add(scan.Undecided, "", "trailing", append(bytes.Clone(cut), Pickle()...))
	slices.SortFunc(out, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func tfNode(name, op string, more ...[]byte) []byte {
	return slices.Concat(text(1, name), text(2, op), slices.Concat(more...))
}

// tfConst is a constant text.
func tfConst(name, value string) []byte {
	return tfNode(name, "Const", field(5, text(1, "value"), field(2, field(8, varint(1, 7), text(8, value)))))
}

func tfGraph(nodes ...[]byte) []byte {
	var out []byte
	for _, n := range nodes {
		out = append(out, field(1, n)...)
	}
	return append(out, field(4, varint(1, 1800))...)
}

func savedModel(graph []byte) []byte {
	return slices.Concat(varint(1, 1), field(2, field(1, text(4, "serve")), field(2, graph)))
}

// TensorFlow gives SavedModels and graphs.
func TensorFlow() []Case {
	x := tfNode("x", "Placeholder")
	var out []Case
	add := func(want scan.Status, rule, name string, nodes ...[]byte) {
		graph := tfGraph(append([][]byte{x}, nodes...)...)
		inner := slices.Concat(tfGraph(x), field(2, field(1, field(1, text(1, "f")), functionNodes(nodes))))
		out = append(out, Case{"tensorflow/saved " + name, savedModel(graph), want, rule, false},
			Case{"tensorflow/graph " + name, graph, want, rule, false},
			Case{"tensorflow/function " + name, savedModel(inner), want, rule, false})
	}
	add(scan.Clean, "", "one", tfNode("y", "Relu", text(3, "x")))
	add(scan.Clean, "", "layers", tfNode("w", "VarHandleOp"), tfNode("r", "ReadVariableOp", text(3, "w")), tfNode("y", "MatMul", text(3, "x"), text(3, "r")), tfNode("z", "Softmax", text(3, "y")))
	add(scan.Clean, "", "saver", tfConst("part", "_temp/part"), tfNode("join", "StringJoin", text(3, "x"), text(3, "part")), tfNode("save", "SaveV2", text(3, "join")), tfNode("restore", "RestoreV2", text(3, "x")))
	add(scan.Clean, "", "call", tfNode("y", "StatefulPartitionedCall", text(3, "x")))
	for _, op := range strings.Fields("ReadFile WriteFile PyFunc EagerPyFunc MatchingFiles PrintV2 DebugIdentityV2 RpcCall DataServiceDatasetV4 TFRecordDataset SaveDatasetV2 WriteSummary CacheDatasetV2 LoadLibrary ImmutableConst") {
		add(scan.Found, "tensorflow-operator", op, tfNode("y", op, text(3, "x")))
	}
	add(scan.Found, "tensorflow-path", "save to a path", tfConst("path", "/tmp/assay"), tfNode("save", "SaveV2", text(3, "path")))
	add(scan.Found, "tensorflow-path", "restore from a path", tfConst("path", "model"), tfNode("same", "Identity", text(3, "path")), tfNode("restore", "RestoreV2", text(3, "same:output:0")))
	add(scan.Found, "tensorflow-path", "save to a joined path", tfConst("path", "/tmp/"), tfNode("join", "StringJoin", text(3, "x"), text(3, "path")), tfNode("save", "SaveV2", text(3, "join")))
	add(scan.Undecided, "tensorflow-unknown", "unknown", tfNode("y", "MyOwnOp", text(3, "x")))
	var crowd [][]byte
	for i := range 1200 {
		crowd = append(crowd, tfNode("own", fmt.Sprint("MyOwnOp", i), text(3, "x")))
	}
	add(scan.Found, "tensorflow-operator", "ReadFile behind a crowd", append(crowd, tfNode("y", "ReadFile", text(3, "x")))...)
	cut := savedModel(tfGraph(x))
	return append(out, Case{"tensorflow/cut short", cut[:len(cut)-3], scan.Undecided, "", false}, Case{"tensorflow/field", append(bytes.Clone(cut), text(30, "?")...), scan.Undecided, "tensorflow-unknown", false})
}

func functionNodes(nodes [][]byte) []byte {
	var out []byte
	for _, n := range nodes {
		out = append(out, field(3, n)...)
	}
	return out
}
