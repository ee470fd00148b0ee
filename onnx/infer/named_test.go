package infer_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"assay/onnx"
	"assay/onnx/infer"
)

// TestConformanceByName gives each size above 1 of the cases' inputs a name, equal
// sizes the same, and keeps vectors of integers, often axes and shapes, constant: the names that come out, with the numbers in their place, must be
// the sizes of the data.
func TestConformanceByName(t *testing.T) {
	dims, named, fixed := 0, 0, 0
	for _, c := range cases(t) {
		if len(c.sets) == 0 {
			continue
		}
		m := blind(c.model)
		sizes := map[string]int64{}
		for i, v := range m.Graph.Inputs {
			if v.Type.Elem == onnx.Int64 && len(v.Type.Shape) < 2 && i < len(c.sets[0].Inputs) {
				m.Graph.Initializers = append(m.Graph.Initializers, decode(t, c.sets[0].Inputs[i]).Renamed(v.Name))
				continue
			}
			m.Graph.Inputs[i].Type = byName(v.Type, sizes)
		}
		types, err := infer.Shapes(m)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, out := range c.model.Graph.Outputs {
			if out.Type.Kind != onnx.KindTensor {
				continue
			}
			got, want := types.Shape(out.Name), decode(t, c.sets[0].Outputs[i]).Shape
			if got == nil {
				continue
			}
			if len(got) != len(want) {
				t.Errorf("%s: output %q is %v, not %v", c.name, out.Name, got, want)
				continue
			}
			for j, d := range got {
				dims++
				size, ok := d.Size, true
				if d.Known() {
					fixed++
				} else if size, ok = evaluate(d.Param, sizes); ok {
					named++
				}
				if ok && size != want[j] {
					t.Errorf("%s: output %q is %v, which is not %v with %v", c.name, out.Name, got, want, sizes)
				}
			}
		}
	}
	t.Logf("of %d sizes, %d are known by name and %d by number", dims, named, fixed)
	if named < 2000 || (named+fixed)*100 < dims*75 {
		t.Errorf("of %d sizes, only %d are known by name and %d by number", dims, named, fixed)
	}
}

func byName(typ onnx.Type, sizes map[string]int64) onnx.Type {
	if typ.Kind != onnx.KindTensor || typ.Shape == nil {
		return typ
	}
	shape := make(onnx.Shape, len(typ.Shape))
	for i, d := range typ.Shape {
		if shape[i] = d; d.Size > 1 {
			name := fmt.Sprint("d", d.Size)
			shape[i], sizes[name] = onnx.Dim{Size: -1, Param: name}, d.Size
		}
	}
	return onnx.TensorOf(typ.Elem, shape)
}

// evaluate computes a name such as "2*floor((h+1)/4)+1"; not ok where it is not made
// of the given sizes alone.
func evaluate(name string, sizes map[string]int64) (int64, bool) {
	e, err := parser.ParseExpr(name)
	if err != nil {
		return 0, false
	}
	return evaluateExpr(e, sizes)
}

func evaluateExpr(e ast.Expr, sizes map[string]int64) (int64, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseInt(e.Value, 10, 64)
		return n, err == nil
	case *ast.Ident:
		n, ok := sizes[e.Name]
		return n, ok
	case *ast.ParenExpr:
		return evaluateExpr(e.X, sizes)
	case *ast.UnaryExpr:
		x, ok := evaluateExpr(e.X, sizes)
		return -x, ok
	case *ast.CallExpr: // floor: the division within rounds down
		return evaluateExpr(e.Args[0], sizes)
	case *ast.BinaryExpr:
		x, ok := evaluateExpr(e.X, sizes)
		y, ok2 := evaluateExpr(e.Y, sizes)
		switch e.Op {
		case token.ADD:
			x += y
		case token.SUB:
			x -= y
		case token.MUL:
			x *= y
		case token.QUO:
			q := x / y
			if x%y < 0 {
				q--
			}
			x = q
		}
		return x, ok && ok2
	}
	return 0, false
}
