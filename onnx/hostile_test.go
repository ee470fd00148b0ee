package onnx

import (
	"bytes"
	"math"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"assay/onnx/internal/pb"
)

// maxHostileMemory is what refusing a hostile file may allocate, all told.
const maxHostileMemory = 256 << 20

// allocated gives the bytes that f allocates altogether, whether or not they are
// freed on the way: no less than the most it ever holds.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// message makes the field num that holds content.
func message(num protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
}

// Field numbers of the ONNX format.
const (
	modelGraph       = 7
	modelFunction    = 25
	graphNode        = 1
	graphInitializer = 5
	graphInput       = 11
	nodeInput        = 1
	nodeAttribute    = 5
	attributeGraph   = 6
	attributeFloats  = 7
	attributeInts    = 8
	attributeStrings = 9
	valueType        = 2
	typeSequence     = 4
	sequenceElement  = 1
)

// nest wraps content n times in messages of the given fields, from the inside out.
func nest(n int, content []byte, fields ...protowire.Number) []byte {
	size := len(content)
	var heads [][]byte
	for range n {
		for _, num := range fields {
			head := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(size))
			heads = append(heads, head)
			size += len(head)
		}
	}
	out := make([]byte, 0, size)
	for i := len(heads) - 1; i >= 0; i-- {
		out = append(out, heads[i]...)
	}
	return append(out, content...)
}

func hostileInitializer(t *testing.T, w *pb.Tensor) []byte {
	w.Name = "w"
	return tensorModel(t, &pb.Graph{Initializer: []*pb.Tensor{w}})
}

func TestHostileModels(t *testing.T) {
	graph := func(content []byte) []byte { return message(modelGraph, content) }
	attribute := func(num protowire.Number, content []byte) []byte {
		return graph(message(graphNode, message(nodeAttribute, append(message(num, content), 0xa0, 1, attrInts))))
	}
	const million = 1 << 20
	ones := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	valueOf := func(size int64) []byte {
		dim := &pb.Shape_Dimension{Value: &pb.Shape_Dimension_DimValue{DimValue: size}}
		return tensorModel(t, &pb.Graph{Input: []*pb.ValueInfo{{Name: "x", Type: &pb.Type{Value: &pb.Type_TensorType_{
			TensorType: &pb.Type_TensorType{ElemType: 1, Shape: &pb.Shape{Dim: []*pb.Shape_Dimension{dim, dim}}}}}}}})
	}
	function := func(name, calls string) *pb.Function {
		return &pb.Function{Name: name, Domain: "local", Input: []string{"v"}, Output: []string{"r"}, Node: []*pb.Node{
			{OpType: calls, Domain: "local", Input: []string{"v"}, Output: []string{"r"}}}}
	}
	recursive, err := proto.Marshal(&pb.Model{Graph: &pb.Graph{}, OpsetImport: []*pb.OperatorSet{{Version: 21}},
		Functions: []*pb.Function{function("A", "B"), function("B", "A")}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "no graph"},
		{"text", []byte("<html>not found</html>"), "not a readable ONNX model"},
		{"zeros", make([]byte, 1000), "cut short or damaged"},
		{"cycle", tensorModel(t, &pb.Graph{Node: []*pb.Node{
			{Name: "left", OpType: "Relu", Input: []string{"b"}, Output: []string{"a"}},
			{Name: "right", OpType: "Relu", Input: []string{"a"}, Output: []string{"b"}}}}), "Relu node left"},
		{"dangling input", tensorModel(t, &pb.Graph{Node: []*pb.Node{{Name: "n", OpType: "Relu", Input: []string{"nowhere"}, Output: []string{"a"}}}}), `Relu node n: input 0, "nowhere"`},
		{"recursive functions", recursive, "calls itself"},
		{"negative size of an input", valueOf(-5), `value "x"`},
		{"overflowing shape of an input", valueOf(1 << 62), "overflowing"},
		{"2^40 elements of an input", valueOf(1 << 20), "1099511627776 elements"},
		{"negative size of a weight", hostileInitializer(t, &pb.Tensor{DataType: 1, Dims: []int64{-1}}), `"w": shape [-1]`},
		{"overflowing shape of a weight", hostileInitializer(t, &pb.Tensor{DataType: 1, Dims: []int64{1 << 62, 1 << 62}}), "overflowing"},
		{"overflowing bytes of a weight", hostileInitializer(t, &pb.Tensor{DataType: 11, Dims: []int64{math.MaxInt64}}), "overflowing"},
		{"2^40 elements of a weight", hostileInitializer(t, &pb.Tensor{DataType: 1, Dims: []int64{1 << 40}, RawData: []byte{1}}), "1099511627776 elements"},
		{"2^33 elements that are not there", hostileInitializer(t, &pb.Tensor{DataType: 7, Dims: []int64{1 << 33}, Int64Data: []int64{1}}), "it has fewer"},
		{"2^33 strings that are not there", hostileInitializer(t, &pb.Tensor{DataType: 8, Dims: []int64{1 << 33}}), "it has 0"},
		{"very many dimensions", hostileInitializer(t, &pb.Tensor{DataType: 1, Dims: make([]int64, million)}), "1048576 dimensions"},
		{"unknown element type", hostileInitializer(t, &pb.Tensor{DataType: -3}), "data type -3"},
		{"more content than elements", hostileInitializer(t, &pb.Tensor{DataType: 7, Dims: []int64{1}, Int64Data: make([]int64, 8*million)}), "it has 8388608 elements"},
		{"graphs in graphs", graph(nest(100_000, nil, attributeGraph, nodeAttribute, graphNode)), "nests messages"},
		{"types in types", graph(message(graphInput, message(valueType, nest(100_000, nil, sequenceElement, typeSequence)))), "nests messages"},
		{"groups in groups", bytes.Repeat([]byte{0x0b}, million), "cut short or damaged"},
		{"million empty nodes", graph(bytes.Repeat([]byte{8*graphNode + 2, 0}, million)), "more nodes"},
		{"as many empty nodes as are read", graph(bytes.Repeat([]byte{8*graphNode + 2, 0}, 265_000)), "imports no operator set"},
		{"as many empty attributes as are read", graph(message(graphNode, bytes.Repeat([]byte{8*nodeAttribute + 2, 0}, 265_000))), "type 0"},
		{"as many empty tensors as are read", graph(bytes.Repeat([]byte{8*graphInitializer + 2, 0}, 265_000)), "not an element type"},
		{"as many empty inputs as are read", graph(bytes.Repeat([]byte{8*graphInput + 2, 0}, 1_000_000)), "imports no operator set"},
		{"million empty attributes", graph(message(graphNode, bytes.Repeat([]byte{8*nodeAttribute + 2, 0}, million))), "more nodes"},
		{"million empty tensors", graph(bytes.Repeat([]byte{8*graphInitializer + 2, 0}, million)), "more nodes"},
		{"million empty inputs of a node", graph(message(graphNode, bytes.Repeat([]byte{8*nodeInput + 2, 0}, 8*million))), "more nodes"},
		{"million empty functions", append(bytes.Repeat([]byte{8*modelFunction%128 | 2 | 0x80, 8 * modelFunction / 128, 0}, million), graph(nil)...), "more nodes"},
		{"million strings", attribute(attributeStrings, bytes.Repeat([]byte{0}, 100)), "imports no operator set"},
		{"long list of integers", attribute(attributeInts, ones(8*million)), "imports no operator set"},
		{"long list of numbers", attribute(attributeFloats, ones(32*million)), "imports no operator set"},
		{"half a varint", attribute(attributeInts, bytes.Repeat([]byte{0xff}, 100)), "not a readable ONNX model"},
		{"text that is not UTF-8", graph(message(graphNode, message(nodeInput, []byte{0xff}))), "UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var err error
			memory := allocated(func() {
				var m *Model
				if m, err = Decode(test.data); err == nil {
					err = m.Check()
				}
			})
			wantError(t, err, test.want)
			if memory > maxHostileMemory {
				t.Errorf("refusing %d bytes allocated %d MB", len(test.data), memory>>20)
			}
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// Cut anywhere, a small model is refused by the reader or by Check.
func TestTruncatedModels(t *testing.T) {
	m := chain()
	data := encode(t, m)
	if err := decodeModel(t, data).Check(); err != nil {
		t.Fatal(err)
	}
	for n := range data {
		m, err := Decode(data[:n])
		if err == nil {
			err = m.Check()
		}
		if err == nil {
			t.Errorf("cut to %d of %d bytes it is taken for whole", n, len(data))
		}
	}
}

func TestLongChainsAndWideGraphs(t *testing.T) {
	const n = 100_000
	b := NewBuilder("chain")
	v := b.Input("x", Float32, 1)
	for range n {
		v = b.Op("Relu", nil, v)
	}
	b.Output(v, Float32, Fixed(1))
	nodes := b.Graph.Nodes
	for i := range n / 2 { // last first: the walk follows the whole chain
		nodes[i], nodes[n-1-i] = nodes[n-1-i], nodes[i]
	}
	m := decodeModel(t, encode(t, b.Model()))
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	m.Graph.Nodes[0].Inputs[0] = m.Graph.Nodes[n-1].Outputs[0]
	err := m.Check()
	wantError(t, err, "cycle", "99992 more")
}

// A large model is in memory once when it is open, and saving makes no second copy.
func TestLargeModelsAreHeldOnce(t *testing.T) {
	const size = 64 << 20
	path := t.TempDir() + "/large.onnx"
	b := NewBuilder("large")
	b.Output(b.Weight(NewTensor("w", make([]float32, size/4))), Float32, Fixed(size/4))
	if saving := allocated(func() {
		if err := b.Model().Save(path); err != nil {
			t.Fatal(err)
		}
	}); saving > size/16 {
		t.Errorf("saving %d MB allocates %d MB", size>>20, saving>>20)
	}
	var m *Model
	opening := allocated(func() {
		var err error
		if m, err = Open(path); err != nil {
			t.Fatal(err)
		}
	})
	if opening > size*17/16 {
		t.Errorf("opening %d MB allocates %d MB", size>>20, opening>>20)
	}
	if encoding := allocated(func() { encode(t, m) }); encoding > size*17/16 {
		t.Errorf("encoding %d MB allocates %d MB", size>>20, encoding>>20)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []*Model{chain(), smallModel(), {Graph: &Graph{}}} {
		data, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add(nest(30, nil, attributeGraph, nodeAttribute, graphNode))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		sound := m.Check() == nil
		first, err := m.Encode()
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		again, err := Decode(first)
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encoded again it differs, %v", err)
		}
		if sound != (again.Check() == nil) {
			t.Fatalf("Check differs after a round trip: %v", again.Check())
		}
		if err := again.Inline(); err == nil && sound && again.Check() != nil {
			t.Fatalf("inlining breaks the model: %v", again.Check())
		}
	})
}
