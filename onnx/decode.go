package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"assay/onnx/internal/pb"
)

// Decode reads a model from the bytes of an ONNX file. Tensors are views of data,
// which must not change as long as the model is in use. A model with content in
// other files cannot be decoded from bytes alone: use Open.
func Decode(data []byte) (*Model, error) {
	return decode(data, nil)
}

func decode(data []byte, files *externalFiles) (*Model, error) {
	m, payloads, err := unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("this is not a readable ONNX model: %w", err)
	}
	if m.Graph == nil {
		return nil, errors.New("this is not an ONNX model: it has no graph")
	}
	d := &decoder{payloads: payloads, files: files}
	return d.model(m)
}

type decoder struct {
	payloads [][]byte
	files    *externalFiles // nil where external content is refused
}

func (d *decoder) model(m *pb.Model) (*Model, error) {
	graph, err := d.graph(m.Graph)
	if err != nil {
		return nil, err
	}
	out := &Model{
		IRVersion: m.IrVersion, Opsets: opsets(m.OpsetImport), Version: m.ModelVersion,
		Producer: m.ProducerName, ProducerVersion: m.ProducerVersion,
		Domain: m.Domain, Doc: m.DocString, Graph: graph,
	}
	for _, e := range m.MetadataProps {
		if out.Metadata == nil {
			out.Metadata = map[string]string{}
		}
		out.Metadata[e.Key] = e.Value
	}
	for _, f := range m.Functions {
		fn, err := d.function(f)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", f.Name, err)
		}
		out.Functions = append(out.Functions, fn)
	}
	return out, nil
}

func opsets(list []*pb.OperatorSet) map[string]int64 {
	out := make(map[string]int64, len(list))
	for _, o := range list {
		out[canonicalDomain(o.Domain)] = o.Version
	}
	return out
}

// canonicalDomain gives ONNX's own domain its short name: "ai.onnx" is another
// spelling of "".
func canonicalDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

func (d *decoder) function(f *pb.Function) (*Function, error) {
	nodes, err := d.nodes(f.Node)
	if err != nil {
		return nil, err
	}
	defaults, err := d.attributes(f.AttributeProto)
	if err != nil {
		return nil, err
	}
	return &Function{
		Name: f.Name, Domain: canonicalDomain(f.Domain), Overload: f.Overload, Doc: f.DocString,
		Inputs: f.Input, Outputs: f.Output, Params: f.Attribute, Defaults: defaults,
		Opsets: opsets(f.OpsetImport), Nodes: nodes,
	}, nil
}

func (d *decoder) graph(g *pb.Graph) (*Graph, error) {
	out := &Graph{Name: g.Name, Doc: g.DocString}
	var err error
	if out.Inputs, err = values(g.Input); err != nil {
		return nil, err
	}
	if out.Outputs, err = values(g.Output); err != nil {
		return nil, err
	}
	if out.Values, err = values(g.ValueInfo); err != nil {
		return nil, err
	}
	if out.Nodes, err = d.nodes(g.Node); err != nil {
		return nil, err
	}
	for _, t := range g.Initializer {
		tensor, err := d.tensor(t)
		if err != nil {
			return nil, fmt.Errorf("initializer %q: %w", t.Name, err)
		}
		out.Initializers = append(out.Initializers, tensor)
	}
	if len(g.SparseInitializer) > 0 {
		return nil, fmt.Errorf("graph %q has sparse initializers, which are not supported: store its weights densely", g.Name)
	}
	return out, nil
}

func values(list []*pb.ValueInfo) ([]Value, error) {
	out := make([]Value, 0, len(list))
	for _, v := range list {
		t, err := typeOf(v.Type)
		if err != nil {
			return nil, fmt.Errorf("value %q: %w", v.Name, err)
		}
		out = append(out, Value{Name: v.Name, Type: t, Doc: v.DocString})
	}
	return out, nil
}

func (d *decoder) nodes(list []*pb.Node) ([]*Node, error) {
	out := make([]*Node, 0, len(list))
	for _, n := range list {
		node := &Node{
			Name: n.Name, Op: n.OpType, Domain: canonicalDomain(n.Domain), Overload: n.Overload,
			Doc: n.DocString, Inputs: n.Input, Outputs: n.Output,
		}
		var err error
		if node.Attrs, err = d.attributes(n.Attribute); err != nil {
			return nil, fmt.Errorf("%s: %w", node, err)
		}
		out = append(out, node)
	}
	return out, nil
}

// Attribute types of the ONNX IR.
const (
	attrFloat        = 1
	attrInt          = 2
	attrString       = 3
	attrTensor       = 4
	attrGraph        = 5
	attrFloats       = 6
	attrInts         = 7
	attrStrings      = 8
	attrTensors      = 9
	attrGraphs       = 10
	attrSparseTensor = 11
	attrSparses      = 12
	attrType         = 13
	attrTypes        = 14
)

func (d *decoder) attributes(list []*pb.Attribute) (Attrs, error) {
	attrs := make(Attrs, len(list))
	for _, a := range list {
		v, err := d.attribute(a)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
		}
		attrs[a.Name] = v
	}
	return attrs, nil
}

func (d *decoder) attribute(a *pb.Attribute) (any, error) {
	if a.RefAttrName != "" {
		return Ref{Name: a.RefAttrName, Type: a.Type}, nil
	}
	switch a.Type {
	case attrFloat:
		return a.F, nil
	case attrInt:
		return a.I, nil
	case attrString:
		return string(a.S), nil
	case attrFloats:
		return a.Floats, nil
	case attrInts:
		return a.Ints, nil
	case attrStrings:
		return texts(a.Strings), nil
	case attrTensor:
		if a.T == nil {
			return nil, errors.New("it has no tensor")
		}
		return d.tensor(a.T)
	case attrGraph:
		if a.G == nil {
			return nil, errors.New("it has no graph")
		}
		return d.graph(a.G)
	case attrTensors:
		return each(a.Tensors, d.tensor)
	case attrGraphs:
		return each(a.Graphs, d.graph)
	case attrSparseTensor:
		if a.SparseTensor == nil {
			return nil, errors.New("it has no sparse tensor")
		}
		return d.sparse(a.SparseTensor)
	case attrSparses:
		return each(a.SparseTensors, d.sparse)
	case attrType:
		return typeOf(a.Tp)
	case attrTypes:
		return each(a.TypeProtos, typeOf)
	}
	return nil, fmt.Errorf("type %d is not one that ONNX defines", a.Type)
}

func each[S, T any](list []S, read func(S) (T, error)) ([]T, error) {
	out := make([]T, len(list))
	for i, s := range list {
		var err error
		if out[i], err = read(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func texts(list [][]byte) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

func typeOf(t *pb.Type) (Type, error) {
	switch v := t.GetValue().(type) {
	case nil:
		return Type{}, nil
	case *pb.Type_TensorType_:
		return tensorType(KindTensor, v.TensorType)
	case *pb.Type_SparseTensorType:
		return tensorType(KindSparseTensor, v.SparseTensorType)
	case *pb.Type_SequenceType_:
		of, err := typeOf(v.SequenceType.ElemType)
		return Type{Kind: KindSequence, Of: &of}, err
	case *pb.Type_OptionalType:
		of, err := typeOf(v.OptionalType.ElemType)
		return Type{Kind: KindOptional, Of: &of}, err
	case *pb.Type_MapType_:
		of, err := typeOf(v.MapType.ValueType)
		return Type{Kind: KindMap, Elem: DataType(v.MapType.KeyType), Of: &of}, err
	}
	return Type{}, nil
}

func tensorType(kind Kind, t *pb.Type_TensorType) (Type, error) {
	out := Type{Kind: kind, Elem: DataType(t.GetElemType())}
	if t.GetShape() == nil {
		return out, nil
	}
	out.Shape = make(Shape, len(t.Shape.Dim))
	for i, dim := range t.Shape.Dim {
		switch v := dim.GetValue().(type) {
		case *pb.Shape_Dimension_DimValue:
			if v.DimValue < 0 && v.DimValue != -1 {
				return Type{}, fmt.Errorf("dimension %d of its shape is %d", i, v.DimValue)
			}
			out.Shape[i] = sized(v.DimValue)
		case *pb.Shape_Dimension_DimParam:
			out.Shape[i] = Dim{Size: -1, Param: v.DimParam}
		default:
			out.Shape[i] = Dim{Size: -1}
		}
	}
	return out, nil
}

// tensor reads a tensor and checks that its content fills its shape.
func (d *decoder) tensor(t *pb.Tensor) (*Tensor, error) {
	out := &Tensor{Name: t.Name, Type: DataType(t.DataType), Shape: t.Dims, Doc: t.DocString}
	if out.Shape == nil {
		out.Shape = []int64{}
	}
	if !out.Type.Valid() {
		return nil, fmt.Errorf("%s is not an element type that ONNX defines", out.Type)
	}
	n, ok := Count(t.Dims)
	if !ok {
		return nil, fmt.Errorf("shape %v has a negative or overflowing size", t.Dims)
	}
	if t.DataLocation == 1 {
		var err error
		out.external, err = d.files.locate(t.ExternalData, out.Type.ByteSize(n))
		return out, err
	}
	if out.Type == String {
		if int64(len(t.StringData)) != n {
			return nil, fmt.Errorf("shape %v wants %d strings, it has %d", t.Dims, n, len(t.StringData))
		}
		out.strings = texts(t.StringData)
		return out, nil
	}
	if len(t.RawData) == 8 {
		out.raw = d.payloads[binary.LittleEndian.Uint64(t.RawData)]
	} else {
		out.raw = typedContent(t, out.Type)
	}
	if want := out.Type.ByteSize(n); int64(len(out.raw)) != want {
		return nil, fmt.Errorf("shape %v of %s wants %d bytes, it has %d", t.Dims, out.Type, want, len(out.raw))
	}
	return out, nil
}

// typedContent turns the fields float_data, int32_data ... into little-endian bytes.
func typedContent(t *pb.Tensor, dt DataType) []byte {
	switch dt {
	case Float32, Complex64:
		return asBytes(t.FloatData)
	case Float64, Complex128:
		return asBytes(t.DoubleData)
	case Int64:
		return asBytes(t.Int64Data)
	case Uint64:
		return asBytes(t.Uint64Data)
	case Uint32:
		out := make([]byte, 0, 4*len(t.Uint64Data))
		for _, v := range t.Uint64Data {
			out = binary.LittleEndian.AppendUint32(out, uint32(min(v, math.MaxUint32)))
		}
		return out
	case Int32:
		return asBytes(t.Int32Data)
	case Int16, Uint16, Float16, BFloat16:
		out := make([]byte, 0, 2*len(t.Int32Data))
		for _, v := range t.Int32Data {
			out = binary.LittleEndian.AppendUint16(out, uint16(v))
		}
		return out
	}
	out := make([]byte, len(t.Int32Data)) // types of a byte; smaller ones come packed
	for i, v := range t.Int32Data {
		out[i] = byte(v)
	}
	return out
}

func (d *decoder) sparse(s *pb.SparseTensor) (*SparseTensor, error) {
	if s.Values == nil || s.Indices == nil {
		return nil, errors.New("a sparse tensor without values or indices")
	}
	values, err := d.tensor(s.Values)
	if err != nil {
		return nil, err
	}
	indices, err := d.tensor(s.Indices)
	if err != nil {
		return nil, err
	}
	return &SparseTensor{Values: values, Indices: indices, Shape: s.Dims}, nil
}
