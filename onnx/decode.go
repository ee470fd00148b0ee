package onnx

import (
	"errors"
	"fmt"

	"assay/onnx/internal/pb"
)

// Decode reads a model from the bytes of an ONNX file. Tensors are views of data,
// which must not change as long as the model is in use. A model with content in
// other files cannot be decoded from bytes alone: use Open.
//
// What it gives is well-formed: each tensor's content fills its shape, and nodes
// are in topological order. The ONNX specification demands that order of a file, but
// ONNX Runtime also loads others, so those are sorted rather than refused; a cycle
// is an error. Whether the model makes sense is for Check to say.
func Decode(data []byte) (*Model, error) {
	return decode(data, nil)
}

func decode(data []byte, files *externalFiles) (*Model, error) {
	m, contents, err := unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("this is not a readable ONNX model: %w", err)
	}
	if m.Graph == nil {
		return nil, errors.New("this is not an ONNX model: it has no graph")
	}
	d := &decoder{contents: contents, files: files}
	out, err := d.model(m)
	if err != nil {
		return nil, err
	}
	if err := out.Sort(); err != nil {
		return nil, err
	}
	return out, nil
}

type decoder struct {
	contents []content
	files    *externalFiles // nil where external content is refused
	dense    int64          // bytes of sparse initializers made dense so far
}

func (d *decoder) model(m *pb.Model) (*Model, error) {
	graph, err := d.graph(m.Graph)
	if err != nil {
		return nil, err
	}
	imports, err := opsets(m.OpsetImport)
	if err != nil {
		return nil, err
	}
	out := &Model{
		IRVersion: m.IrVersion, Opsets: imports, Version: m.ModelVersion,
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

func opsets(list []*pb.OperatorSet) (map[string]int64, error) {
	out := make(map[string]int64, len(list))
	for _, o := range list {
		domain := canonicalDomain(o.Domain)
		if v, twice := out[domain]; twice && v != o.Version {
			return nil, fmt.Errorf("versions %d and %d of operator set %q are both imported", v, o.Version, domainName(domain))
		}
		out[domain] = o.Version
	}
	return out, nil
}

// canonicalDomain gives ONNX's own domain its short name: "ai.onnx" is another
// spelling of "".
func canonicalDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// domainName is how messages name a domain.
func domainName(domain string) string {
	if domain == "" {
		return "ai.onnx"
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
	imports, err := opsets(f.OpsetImport)
	if err != nil {
		return nil, err
	}
	return &Function{
		Name: f.Name, Domain: canonicalDomain(f.Domain), Overload: f.Overload, Doc: f.DocString,
		Inputs: f.Input, Outputs: f.Output, Params: f.Attribute, Defaults: defaults,
		Opsets: imports, Nodes: nodes,
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
	for _, t := range g.SparseInitializer {
		tensor, err := d.sparseInitializer(t)
		if err != nil {
			return nil, fmt.Errorf("sparse initializer %q: %w", t.GetValues().GetName(), err)
		}
		out.Initializers = append(out.Initializers, tensor)
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
		if _, twice := attrs[a.Name]; twice {
			return nil, fmt.Errorf("attribute %q is given twice", a.Name)
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
