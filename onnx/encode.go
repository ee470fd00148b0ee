package onnx

import (
	"encoding/binary"
	"fmt"

	"assay/onnx/internal/pb"
)

// encoder turns a model into protobuf messages. Content does not go through them:
// each raw_data is the number of a tensor, and write puts its content there.
type encoder struct {
	tensors []*Tensor
	beside  *besideFile // where large content goes, nil for into the model
}

func (e *encoder) model(m *Model) (*pb.Model, error) {
	graph, err := e.graph(m.Graph)
	if err != nil {
		return nil, err
	}
	out := &pb.Model{
		IrVersion: m.IRVersion, OpsetImport: encodeOpsets(m.Opsets), ModelVersion: m.Version,
		ProducerName: m.Producer, ProducerVersion: m.ProducerVersion,
		Domain: m.Domain, DocString: m.Doc, Graph: graph,
	}
	for _, key := range sortedNames(m.Metadata) {
		out.MetadataProps = append(out.MetadataProps, &pb.Entry{Key: key, Value: m.Metadata[key]})
	}
	for _, f := range m.Functions {
		fn, err := e.function(f)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", f.Name, err)
		}
		out.Functions = append(out.Functions, fn)
	}
	return out, nil
}

func encodeOpsets(opsets map[string]int64) []*pb.OperatorSet {
	var out []*pb.OperatorSet
	for _, domain := range sortedNames(opsets) {
		out = append(out, &pb.OperatorSet{Domain: domain, Version: opsets[domain]})
	}
	return out
}

func (e *encoder) function(f *Function) (*pb.Function, error) {
	nodes, err := each(f.Nodes, e.node)
	if err != nil {
		return nil, err
	}
	defaults, err := e.attributes(f.Defaults)
	if err != nil {
		return nil, err
	}
	return &pb.Function{
		Name: f.Name, Domain: f.Domain, Overload: f.Overload, DocString: f.Doc,
		Input: f.Inputs, Output: f.Outputs, Attribute: f.Params, AttributeProto: defaults,
		OpsetImport: encodeOpsets(f.Opsets), Node: nodes,
	}, nil
}

func (e *encoder) graph(g *Graph) (*pb.Graph, error) {
	nodes, err := each(g.Nodes, e.node)
	if err != nil {
		return nil, err
	}
	weights, err := each(g.Initializers, e.tensor)
	if err != nil {
		return nil, err
	}
	return &pb.Graph{
		Name: g.Name, DocString: g.Doc, Node: nodes, Initializer: weights,
		Input: encodeValues(g.Inputs), Output: encodeValues(g.Outputs), ValueInfo: encodeValues(g.Values),
	}, nil
}

func encodeValues(list []Value) []*pb.ValueInfo {
	out := make([]*pb.ValueInfo, len(list))
	for i, v := range list {
		out[i] = &pb.ValueInfo{Name: v.Name, Type: encodeType(v.Type), DocString: v.Doc}
	}
	return out
}

func (e *encoder) node(n *Node) (*pb.Node, error) {
	attrs, err := e.attributes(n.Attrs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	return &pb.Node{
		Name: n.Name, OpType: n.Op, Domain: n.Domain, Overload: n.Overload, DocString: n.Doc,
		Input: n.Inputs, Output: n.Outputs, Attribute: attrs,
	}, nil
}

func (e *encoder) attributes(attrs Attrs) ([]*pb.Attribute, error) {
	var out []*pb.Attribute
	for _, name := range sortedNames(attrs) {
		a, err := e.attribute(attrs[name])
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		a.Name = name
		out = append(out, a)
	}
	return out, nil
}

func (e *encoder) attribute(v any) (*pb.Attribute, error) {
	var err error
	a := &pb.Attribute{}
	switch v := v.(type) {
	case Ref:
		a.Type, a.RefAttrName = v.Type, v.Name
	case float32:
		a.Type, a.F = attrFloat, v
	case int64:
		a.Type, a.I = attrInt, v
	case string:
		a.Type, a.S = attrString, []byte(v)
	case []float32:
		a.Type, a.Floats = attrFloats, v
	case []int64:
		a.Type, a.Ints = attrInts, v
	case []string:
		a.Type, a.Strings = attrStrings, byteStrings(v)
	case *Tensor:
		a.Type = attrTensor
		a.T, err = e.tensor(v)
	case *Graph:
		a.Type = attrGraph
		a.G, err = e.graph(v)
	case []*Tensor:
		a.Type = attrTensors
		a.Tensors, err = each(v, e.tensor)
	case []*Graph:
		a.Type = attrGraphs
		a.Graphs, err = each(v, e.graph)
	case *SparseTensor:
		a.Type = attrSparseTensor
		a.SparseTensor, err = e.sparse(v)
	case []*SparseTensor:
		a.Type = attrSparses
		a.SparseTensors, err = each(v, e.sparse)
	case Type:
		a.Type, a.Tp = attrType, encodeType(v)
	case []Type:
		a.Type = attrTypes
		for _, t := range v {
			a.TypeProtos = append(a.TypeProtos, encodeType(t))
		}
	default:
		err = fmt.Errorf("a %T cannot be an attribute", v)
	}
	return a, err
}

func byteStrings(list []string) [][]byte {
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(s)
	}
	return out
}

func encodeType(t Type) *pb.Type {
	switch t.Kind {
	case KindTensor:
		return &pb.Type{Value: &pb.Type_TensorType_{TensorType: encodeTensorType(t)}}
	case KindSparseTensor:
		return &pb.Type{Value: &pb.Type_SparseTensorType{SparseTensorType: encodeTensorType(t)}}
	case KindSequence:
		return &pb.Type{Value: &pb.Type_SequenceType_{SequenceType: &pb.Type_SequenceType{ElemType: encodeType(t.of())}}}
	case KindOptional:
		return &pb.Type{Value: &pb.Type_OptionalType{OptionalType: &pb.Type_SequenceType{ElemType: encodeType(t.of())}}}
	case KindMap:
		return &pb.Type{Value: &pb.Type_MapType_{MapType: &pb.Type_MapType{KeyType: int32(t.Elem), ValueType: encodeType(t.of())}}}
	}
	return nil
}

func encodeTensorType(t Type) *pb.Type_TensorType {
	out := &pb.Type_TensorType{ElemType: int32(t.Elem)}
	if t.Shape == nil {
		return out
	}
	out.Shape = &pb.Shape{}
	for _, d := range t.Shape {
		dim := &pb.Shape_Dimension{}
		switch {
		case d.Known():
			dim.Value = &pb.Shape_Dimension_DimValue{DimValue: d.Size}
		case d.Param != "":
			dim.Value = &pb.Shape_Dimension_DimParam{DimParam: d.Param}
		}
		out.Shape.Dim = append(out.Shape.Dim, dim)
	}
	return out
}

func (e *encoder) tensor(t *Tensor) (*pb.Tensor, error) {
	out := &pb.Tensor{Name: t.Name, DataType: int32(t.Type), Dims: t.Shape, DocString: t.Doc}
	if t.Type == String {
		out.StringData = byteStrings(t.strings)
		return out, nil
	}
	if e.beside != nil && t.byteSize() >= besideThreshold {
		out.DataLocation = 1
		out.ExternalData = e.beside.place(t)
		return out, nil
	}
	out.RawData = binary.LittleEndian.AppendUint64(nil, uint64(len(e.tensors)))
	e.tensors = append(e.tensors, t)
	return out, nil
}

func (e *encoder) sparse(s *SparseTensor) (*pb.SparseTensor, error) {
	values, err := e.tensor(s.Values)
	if err != nil {
		return nil, err
	}
	indices, err := e.tensor(s.Indices)
	return &pb.SparseTensor{Values: values, Indices: indices, Dims: s.Shape}, err
}
