package autodiff

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// shapeRow is an operator with attributes, to be checked on random shapes.
type shapeRow struct {
	op     string
	attrs  onnx.Attrs
	inputs []operand
	// needs is what the error says where only ranks are known, "" if that is enough.
	needs string
}

// operand is an input of a row. Its dimensions are numbers and letters, which stand
// for random sizes; N is the batch's.
type operand struct {
	dims   string
	kind   kind
	tensor *onnx.Tensor // for constant
}

type kind int

const (
	signed   kind = iota // normal
	positive             // between 0.5 and 2.5
	unit                 // between -0.9 and 0.9
	above                // between 1.2 and 3
	weight               // normal, and a constant of the model in two of three ways
	constant             // of the tensor given, not differentiated
	absent               // an optional input that is left out
)

func x(dims string) operand    { return operand{dims: dims} }
func pos(dims string) operand  { return operand{dims: dims, kind: positive} }
func in1(dims string) operand  { return operand{dims: dims, kind: unit} }
func gt1(dims string) operand  { return operand{dims: dims, kind: above} }
func w(dims string) operand    { return operand{dims: dims, kind: weight} }
func none() operand            { return operand{kind: absent} }
func c(t *onnx.Tensor) operand { return operand{kind: constant, tensor: t} }

// row makes a shapeRow without attributes.
func row(op string, inputs ...operand) shapeRow { return shapeRow{op: op, inputs: inputs} }

func (r shapeRow) with(attrs onnx.Attrs) shapeRow { r.attrs = attrs; return r }
func (r shapeRow) wants(needs string) shapeRow    { r.needs = needs; return r }

func (r shapeRow) String() string {
	parts := []string{r.op}
	for _, in := range r.inputs {
		parts = append(parts, "["+in.dims+"]")
	}
	var attrs []string
	for name, v := range r.attrs {
		attrs = append(attrs, fmt.Sprint(name, "=", v))
	}
	slices.Sort(attrs)
	return strings.Join(append(parts, attrs...), " ")
}

// way is how much of the shapes the model states.
type way string

const (
	allFixed  way = "fixed"   // every size, weights constant
	batchFree way = "batched" // all but the batch's, weights are inputs
	rankOnly  way = "ranks"   // ranks alone, weights constant
)

// TestRandomShapes checks every row of the families' tables on shapes drawn by seed,
// with fixed sizes, an unknown batch, and only ranks known.
func TestRandomShapes(t *testing.T) {
	rows := slices.Concat(elementwiseRows(), linearRows(), convolutionRows(), poolingRows())
	if len(rows) < 100 {
		t.Fatalf("there are only %d rows", len(rows))
	}
	for _, r := range rows {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			hash := fnv.New64()
			hash.Write([]byte(r.String()))
			for i, how := range []way{allFixed, batchFree, rankOnly} {
				seed := hash.Sum64() + uint64(i)
				compared, err := r.check(how, seed)
				if how == rankOnly && r.needs != "" {
					if err == nil || !strings.Contains(err.Error(), r.needs) {
						t.Errorf("%s: the error is %v, not of %q", how, err, r.needs)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s, seed %d: %v", how, seed, err)
				} else if compared == 0 {
					t.Errorf("%s: nothing was compared", how)
				}
			}
		})
	}
}

func (r shapeRow) check(how way, seed uint64) (int, error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	sizes := map[string]int64{}
	b := onnx.NewBuilder(r.op)
	feeds := map[string]float64eval.Value{}
	var names, held []string
	for i, in := range r.inputs {
		switch in.kind {
		case absent:
			names = append(names, "")
			continue
		case constant:
			names = append(names, b.Constant(in.tensor))
			held = append(held, names[i])
			continue
		}
		shape, stated := in.shapes(how, sizes, rng)
		t := onnx.NewTensor("w"+strconv.Itoa(i), in.values(shape, rng), shape...)
		if in.kind == weight && how != batchFree {
			names = append(names, b.Weight(t))
			continue
		}
		name := b.Input("x"+strconv.Itoa(i), onnx.Float32, stated...)
		feed, err := ort.FromONNX(t)
		if err != nil {
			return 0, err
		}
		feeds[name] = feed
		names = append(names, name)
	}
	b.Output(b.Op(r.op, r.attrs, names...), onnx.Float32, nil)
	return gradientCheck{model: b.Model(), feeds: feeds, fixed: held, seed: seed}.run()
}

// shapes draws the sizes that are new and gives the shape, and what is stated of it.
func (in operand) shapes(how way, sizes map[string]int64, rng *rand.Rand) (shape []int64, stated []any) {
	shape = []int64{}
	for _, d := range strings.Fields(in.dims) {
		size, err := strconv.ParseInt(d, 10, 64)
		if err != nil {
			if _, drawn := sizes[d]; !drawn {
				sizes[d] = 4 + rng.Int64N(5)
				if d == "N" {
					sizes[d] = 1 + rng.Int64N(3)
				}
			}
			size = sizes[d]
		}
		shape = append(shape, size)
		switch {
		case how == rankOnly && in.kind != weight:
			stated = append(stated, -1)
		case how == batchFree && d == "N":
			stated = append(stated, "N")
		default:
			stated = append(stated, size)
		}
	}
	return shape, stated
}

func (in operand) values(shape []int64, rng *rand.Rand) []float32 {
	n, _ := onnx.Count(shape)
	v := make([]float32, n)
	for i := range v {
		switch in.kind {
		case positive:
			v[i] = float32(0.5 + 2*rng.Float64())
		case unit:
			v[i] = float32(1.8*rng.Float64() - 0.9)
		case above:
			v[i] = float32(1.2 + 1.8*rng.Float64())
		default:
			v[i] = float32(rng.NormFloat64())
		}
	}
	return v
}

func elementwiseRows() []shapeRow {
	a := func(name string, v float32) onnx.Attrs { return onnx.Attrs{name: v} }
	var rows []shapeRow
	for _, op := range strings.Fields(`Abs Exp Sin Cos Atan Sinh Cosh Asinh Tanh Sigmoid Erf Softplus Softsign
		Elu Selu Celu LeakyRelu ThresholdedRelu HardSigmoid HardSwish Gelu Mish Shrink Relu Identity Neg`) {
		rows = append(rows, row(op, x("N 3 L")))
	}
	for _, op := range strings.Fields("Log Sqrt Reciprocal") {
		rows = append(rows, row(op, pos("N 3 L")))
	}
	for _, op := range strings.Fields("Tan Asin Acos Atanh") {
		rows = append(rows, row(op, in1("N 3 L")))
	}
	rows = append(rows, row("Acosh", gt1("N 3 L")), row("Relu", x("")), row("Relu", x("N 16 4 4")), row("Relu", x("N 17 4 4")),
		row("Elu", x("N L")).with(a("alpha", 0.7)), row("Celu", x("N L")).with(a("alpha", 0.7)),
		row("Selu", x("N L")).with(onnx.Attrs{"alpha": float32(1.2), "gamma": float32(0.9)}),
		row("LeakyRelu", x("N L")).with(a("alpha", 0.3)), row("LeakyRelu", x("N L")).with(a("alpha", -0.3)),
		row("ThresholdedRelu", x("N L")).with(a("alpha", 0.3)),
		row("HardSigmoid", x("N L")).with(onnx.Attrs{"alpha": float32(0.4), "beta": float32(0.4)}),
		row("Gelu", x("N L")).with(onnx.Attrs{"approximate": "tanh"}),
		row("Shrink", x("N L")).with(onnx.Attrs{"lambd": float32(0.3), "bias": float32(0.1)}),
		row("Clip", x("N L"), c(onnx.Scalar[float32]("", -0.4)), c(onnx.Scalar[float32]("", 0.6))),
		row("Clip", x("N L"), none(), x("")), row("Clip", x("N L"), x("")), row("Clip", x("N L"), x(""), x("")),
		row("PRelu", x("N 3 L"), w("3 1")), row("PRelu", x("N 3 L"), w("1")), row("PRelu", x("N 3 L"), w("N 3 L")),
		row("Where", c(onnx.NewTensor("", []bool{true, false, true}, 3, 1)), x("N 1 L"), x("3 1")),
		row("Where", c(onnx.NewTensor("", []bool{true, false, true}, 3)), x("N 3"), x("")),
	)
	for _, op := range strings.Fields("Add Sub Mul Div Max Min Sum Mean") {
		second := pos
		if op == "Max" || op == "Min" {
			second = x
		}
		rows = append(rows,
			row(op, x("N 3 L"), second("N 3 L")), row(op, x("N 3 L"), second("L")), row(op, x("N 1 L"), second("3 1")),
			row(op, x("3 1"), second("N 1 L")), row(op, x(""), second("N 3")), row(op, x("1 1"), second("N 3 L")),
			row(op, x("N L"), second("1")))
	}
	for _, op := range strings.Fields("Max Min Sum Mean") {
		rows = append(rows, row(op, x("N L")), row(op, x("N 1 L"), x("3 1"), x("N 3 1")), row(op, x("L"), x("N L"), x("1"), x("")))
	}
	square := c(onnx.Scalar[float32]("", 2))
	return append(rows,
		row("Pow", pos("N 3 L"), x("3 1")), row("Pow", pos("L"), x("N 1 L")), row("Pow", x("N L"), square),
		row("Pow", x("N L"), c(onnx.Scalar[int64]("", 3))), row("Pow", pos("N L"), c(onnx.Scalar[float32]("", -0.5))),
		row("Pow", x("N L"), c(onnx.NewTensor("", []float32{0, 1, 2, 3}, 4, 1, 1))),
		row("Mod", x("N L"), pos("L")).with(onnx.Attrs{"fmod": int64(1)}),
		row("Mod", x("N 1 L"), pos("3 1")).with(onnx.Attrs{"fmod": int64(1)}),
		row("Mul", x("N L"), w("L")), row("Cast", x("N L")).with(onnx.Attrs{"to": int64(onnx.Float32)}),
	)
}

func linearRows() []shapeRow {
	rows := []shapeRow{
		row("MatMul", x("N K"), w("K M")), row("MatMul", x("N L K"), w("K M")), row("MatMul", x("N 2 L K"), w("K M")),
		row("MatMul", x("N L K"), x("N K M")), row("MatMul", x("N 3 L K"), x("N 3 K M")), row("MatMul", x("N 1 L K"), x("3 K M")),
		row("MatMul", x("3 L K"), x("N 1 K M")), row("MatMul", x("L K"), x("N K M")), row("MatMul", x("1 L K"), x("N K M")),
		row("MatMul", x("K"), w("K")), row("MatMul", x("K"), w("K M")), row("MatMul", x("N K"), w("K")),
		row("MatMul", x("N L K"), w("K")), row("MatMul", x("K"), x("N K M")), row("MatMul", x("K"), x("N 3 K M")),
		row("MatMul", x("N 3 L K"), x("K")), row("MatMul", x("N L K"), x("1 K M")),
	}
	for _, transA := range []int64{0, 1} {
		for _, transB := range []int64{0, 1} {
			a, b := x("N K"), w("K M")
			if transA == 1 {
				a = x("K N")
			}
			if transB == 1 {
				b = w("M K")
			}
			attrs := onnx.Attrs{"transA": transA, "transB": transB, "alpha": float32(0.7), "beta": float32(1.3)}
			for _, bias := range []operand{w("M"), w("1 M"), x("N 1"), x(""), x("N M"), x("1")} {
				rows = append(rows, row("Gemm", a, b, bias).with(attrs))
			}
			rows = append(rows, row("Gemm", a, b).with(onnx.Attrs{"transA": transA, "transB": transB}))
		}
	}
	for _, e := range []struct {
		equation string
		operands []operand
	}{
		{"ij,jk->ik", []operand{x("N K"), w("K M")}}, {"bij,bjk->bik", []operand{x("N L K"), x("N K M")}},
		{"ij->ji", []operand{x("N K")}}, {"ij->j", []operand{x("N K")}}, {"ij->", []operand{x("N K")}},
		{"ij,jk", []operand{x("N K"), w("K M")}}, {"i,j->ij", []operand{x("N"), x("K")}}, {"i,i->", []operand{x("K"), x("K")}},
		{"bhqd,bhkd->bhqk", []operand{x("N 2 L K"), x("N 2 M K")}}, {"...ij,...jk->...ik", []operand{x("N 2 L K"), x("N 2 K M")}},
		{"...ij,jk->...ik", []operand{x("N 2 L K"), w("K M")}}, {"...i->...", []operand{x("N 2 L")}},
		{"bi,bj,bk->bijk", []operand{x("N 3"), x("N 4"), x("N 2")}}, {"ij,jk,kl->il", []operand{x("N K"), w("K M"), w("M 3")}},
		{"ijk,ljk->il", []operand{x("N 3 K"), w("5 3 K")}}, {"...ij,...jk->...ik", []operand{x("N 3 L K"), x("N 1 K M")}}, {"...ij,jk,...k->...ik", []operand{x("N 2 L K"), w("K M"), x("N 2 M")}},
		{"a...b->b...a", []operand{x("N 2 L")}}, {"ij,ij->ij", []operand{x("N K"), x("N K")}},
	} {
		rows = append(rows, row("Einsum", e.operands...).with(onnx.Attrs{"equation": e.equation}))
	}
	for _, equation := range []string{"ii->i", "ii->", "ii"} {
		rows = append(rows, row("Einsum", x("K K")).with(onnx.Attrs{"equation": equation}).wants("diagonal"))
	}
	return append(rows, row("Einsum", x("N K K")).with(onnx.Attrs{"equation": "...ii->...i"}).wants("diagonal"),
		row("Einsum", x("N K K M")).with(onnx.Attrs{"equation": "biij->bj"}).wants("diagonal"))
}

func convolutionRows() []shapeRow {
	l := func(v ...int64) []int64 { return v }
	conv := func(inputs []operand, attrs onnx.Attrs) shapeRow { return row("Conv", inputs...).with(attrs) }
	plain := []operand{x("N 4 H W"), w("6 4 3 3"), w("6")}
	grouped := []operand{x("N 4 H W"), w("6 2 3 3"), w("6")}
	rows := []shapeRow{
		conv(plain, nil), conv(plain[:2], nil), conv(plain, onnx.Attrs{"kernel_shape": l(3, 3), "pads": l(1, 1, 1, 1)}),
		conv(plain, onnx.Attrs{"pads": l(0, 1, 2, 1)}), conv(plain, onnx.Attrs{"pads": l(3, 4, 3, 4)}),
		conv(plain, onnx.Attrs{"strides": l(2, 2)}), conv(plain, onnx.Attrs{"strides": l(2, 3), "pads": l(1, 0, 2, 1)}),
		conv([]operand{x("N 4 9 8"), w("6 4 3 3"), w("6")}, onnx.Attrs{"strides": l(2, 1), "dilations": l(2, 3), "pads": l(1, 1, 0, 1)}),
		conv(plain, onnx.Attrs{"dilations": l(1, 2), "pads": l(1, 2, 1, 2)}),
		conv(grouped, onnx.Attrs{"group": int64(2)}), conv(grouped, onnx.Attrs{"group": int64(2), "strides": l(2, 2), "pads": l(1, 1, 1, 1)}),
		conv([]operand{x("N 4 H W"), w("4 1 3 3")}, onnx.Attrs{"group": int64(4), "pads": l(1, 1, 1, 1)}),
		conv([]operand{x("N 4 H W"), w("8 1 3 3"), w("8")}, onnx.Attrs{"group": int64(4), "strides": l(2, 2)}),
		conv([]operand{x("N 4 H W"), w("6 4 1 1"), w("6")}, nil), conv([]operand{x("N 4 H W"), w("6 4 1 1")}, onnx.Attrs{"strides": l(2, 2)}),
		conv([]operand{x("N 4 L"), w("6 4 3"), w("6")}, onnx.Attrs{"pads": l(1, 1)}),
		conv([]operand{x("N 4 L"), w("6 2 2"), w("6")}, onnx.Attrs{"strides": l(3), "group": int64(2)}),
		conv([]operand{x("N 2 4 5 4"), w("3 2 3 2 3"), w("3")}, onnx.Attrs{"pads": l(1, 0, 1, 1, 1, 1)}),
		conv([]operand{x("N 2 5 4 5"), w("4 1 2 2 3"), w("4")}, onnx.Attrs{"strides": l(2, 1, 2), "group": int64(2)}),
		conv([]operand{x("N 4 3 3"), w("6 4 3 3"), w("6")}, nil),
		conv([]operand{x("N 4 3 3"), w("6 4 3 3")}, onnx.Attrs{"dilations": l(4, 4), "pads": l(4, 4, 4, 4)}), // taps that see padding alone
	}
	for _, mode := range []string{"SAME_UPPER", "SAME_LOWER", "VALID"} {
		rows = append(rows, conv(plain, onnx.Attrs{"auto_pad": mode}), conv([]operand{x("N 4 H W"), w("6 4 2 4")}, onnx.Attrs{"auto_pad": mode}))
		strided := conv(plain, onnx.Attrs{"auto_pad": mode, "strides": l(2, 3)})
		if mode != "VALID" {
			strided = strided.wants("auto_pad " + mode)
		}
		rows = append(rows, strided)
	}
	back := func(inputs []operand, attrs onnx.Attrs) shapeRow { return row("ConvTranspose", inputs...).with(attrs) }
	plain = []operand{x("N 4 H W"), w("4 6 3 3"), w("6")}
	grouped = []operand{x("N 4 H W"), w("4 3 3 3"), w("6")}
	rows = append(rows,
		back(plain, nil), back(plain[:2], onnx.Attrs{"strides": l(2, 2)}), back(plain, onnx.Attrs{"strides": l(2, 3), "pads": l(1, 0, 1, 2)}),
		back(plain, onnx.Attrs{"strides": l(3, 2), "output_padding": l(1, 1), "pads": l(1, 1, 1, 1)}),
		back(plain, onnx.Attrs{"strides": l(3, 2), "output_padding": l(2, 1)}),
		back(plain, onnx.Attrs{"dilations": l(2, 1), "pads": l(1, 1, 0, 1)}), back(grouped, onnx.Attrs{"group": int64(2), "strides": l(2, 1)}),
		back([]operand{x("N 4 L"), w("4 5 3"), w("5")}, onnx.Attrs{"strides": l(2), "pads": l(1, 1)}),
		back([]operand{x("N 2 3 4 3"), w("2 3 2 3 2"), w("3")}, onnx.Attrs{"strides": l(2, 1, 2)}),
		back([]operand{x("N 4 5 4"), w("4 6 3 3")}, onnx.Attrs{"strides": l(2, 3), "output_shape": l(10, 11)}).wants("is not known"),
		back([]operand{x("N 4 5 4"), w("4 6 3 3")}, onnx.Attrs{"strides": l(2, 3), "output_shape": l(10, 11), "auto_pad": "SAME_UPPER"}).wants("is not known"),
		back(plain, onnx.Attrs{"auto_pad": "VALID", "strides": l(2, 2)}),
	)
	for _, mode := range []string{"SAME_UPPER", "SAME_LOWER"} {
		rows = append(rows, back(plain, onnx.Attrs{"auto_pad": mode, "strides": l(2, 2)}).wants("is not known"))
	}
	return rows
}

func poolingRows() []shapeRow {
	l := func(v ...int64) []int64 { return v }
	image := x("N 3 H W")
	var rows []shapeRow
	for _, op := range []string{"MaxPool", "AveragePool", "LpPool"} {
		attrs := []onnx.Attrs{
			{"kernel_shape": l(2, 2)}, {"kernel_shape": l(3, 2), "strides": l(2, 1)}, {"kernel_shape": l(2, 3), "strides": l(3, 2)},
			{"kernel_shape": l(3, 3), "pads": l(1, 1, 1, 1), "strides": l(2, 2)}, {"kernel_shape": l(3, 2), "pads": l(1, 0, 2, 1)},
			{"kernel_shape": l(2, 2), "dilations": l(2, 1)}, {"kernel_shape": l(2, 2), "dilations": l(2, 3), "strides": l(2, 1)},
			{"kernel_shape": l(3, 3), "strides": l(2, 3), "ceil_mode": int64(1)},
			{"kernel_shape": l(3, 2), "strides": l(2, 2), "ceil_mode": int64(1), "pads": l(1, 0, 1, 1)},
			{"kernel_shape": l(3, 2), "auto_pad": "SAME_UPPER"}, {"kernel_shape": l(2, 3), "auto_pad": "SAME_LOWER"},
			{"kernel_shape": l(2, 2), "auto_pad": "VALID"},
		}
		for _, a := range attrs {
			if op == "LpPool" && a["ceil_mode"] != nil && a["pads"] != nil {
				continue // the runtime's shape inference and its kernel count the windows differently
			}
			rows = append(rows, row(op, image).with(a))
		}
		for _, mode := range []string{"SAME_UPPER", "SAME_LOWER"} {
			r := row(op, image).with(onnx.Attrs{"kernel_shape": l(3, 3), "strides": l(2, 2), "auto_pad": mode})
			if op != "MaxPool" {
				r = r.wants("auto_pad " + mode)
			}
			rows = append(rows, r)
		}
		rows = append(rows, row(op, x("N 2 L")).with(onnx.Attrs{"kernel_shape": l(3), "strides": l(2)}),
			row(op, x("N 2 4 5 4")).with(onnx.Attrs{"kernel_shape": l(2, 3, 2), "strides": l(2, 1, 1), "pads": l(0, 1, 1, 1, 0, 0)}))
		if op == "AveragePool" {
			for _, a := range attrs {
				with := onnx.Attrs{"count_include_pad": int64(1)}
				for name, v := range a {
					with[name] = v
				}
				rows = append(rows, row(op, image).with(with))
			}
		}
	}
	for _, p := range []int64{1, 2, 3} {
		rows = append(rows, row("LpPool", image).with(onnx.Attrs{"kernel_shape": l(2, 2), "strides": l(2, 1), "p": p}),
			row("GlobalLpPool", image).with(onnx.Attrs{"p": p}))
	}
	for _, op := range []string{"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"} {
		rows = append(rows, row(op, image), row(op, x("N 3 L")), row(op, x("N 2 3 4 3")))
	}
	return append(rows, row("MaxPool", image).with(onnx.Attrs{"kernel_shape": l(2, 3), "storage_order": int64(1)}))
}

// TestLosses checks the values of the losses against their formulas and their
// gradients against differences, for each number of examples.
func TestLosses(t *testing.T) {
	const n, k = 3, 5
	rng := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, n*k)
	for i := range logits {
		logits[i] = float32(2 * rng.NormFloat64())
	}
	labels, targets := []int64{0, 4, 2}, []int64{3, 1, 0}
	z := func(row, class int) float64 { return float64(logits[row*k+class]) }
	sorted := func(row int) []float64 {
		v := make([]float64, k)
		for i := range v {
			v[i] = z(row, i)
		}
		slices.Sort(v)
		slices.Reverse(v)
		return v
	}
	best := func(row int) float64 { // of the other classes
		b := math.Inf(-1)
		for i := range k {
			if int64(i) != labels[row] {
				b = max(b, z(row, i))
			}
		}
		return b
	}
	own := func(row int) float64 { return z(row, int(labels[row])) }
	for _, l := range []struct {
		name string
		loss Loss
		want func(row int) float64
	}{
		{"cross-entropy", CrossEntropy, func(row int) float64 {
			sum := 0.0
			for i := range k {
				sum += math.Exp(z(row, i))
			}
			return math.Log(sum) - own(row)
		}},
		{"generalised cross-entropy", GeneralisedCrossEntropy(0.75), func(row int) float64 {
			sum := 0.0
			for i := range k {
				sum += math.Exp(z(row, i))
			}
			return (1 - math.Pow(math.Exp(own(row))/sum, 0.75)) / 0.75 // which float32 has exactly
		}},
		{"scaled cross-entropy", ScaledCrossEntropy, func(row int) float64 {
			mean, square, sum := 0.0, 0.0, 0.0
			for i := range k {
				mean += z(row, i) / k
			}
			for i := range k {
				square += (z(row, i) - mean) * (z(row, i) - mean) / k
			}
			for i := range k {
				sum += math.Exp(4 * (z(row, i) - own(row)) / math.Sqrt(square))
			}
			return math.Log(sum)
		}},
		{"margin", Margin, func(row int) float64 { return best(row) - own(row) }},
		{"targeted margin", TargetedMargin, func(row int) float64 { return z(row, int(targets[row])) - own(row) }},
		{"DLR", DLR, func(row int) float64 { return -(own(row) - best(row)) / (sorted(row)[0] - sorted(row)[2]) }},
		{"targeted DLR", TargetedDLR, func(row int) float64 {
			s := sorted(row)
			return -(own(row) - z(row, int(targets[row]))) / (s[0] - (s[2]+s[3])/2)
		}},
	} {
		t.Run(l.name, func(t *testing.T) {
			b := onnx.NewBuilder("loss")
			b.Output(b.Op("Identity", nil, b.Input("logits", onnx.Float32, "N", k)), onnx.Float32, onnx.Dims("N", k))
			g, err := New(b.Model())
			if err != nil {
				t.Fatal(err)
			}
			y, target := g.Input("labels", onnx.Int64, "N"), g.Input("targets", onnx.Int64, "N")
			loss, err := g.Loss(l.loss, g.Graph.Outputs[0].Name, y, target)
			if err != nil {
				t.Fatal(err)
			}
			g.Graph.Outputs = nil
			g.Output(loss, onnx.Float32, onnx.Dims("N"))
			feeds := map[string]float64eval.Value{
				"logits": ort.NewTensor(logits, n, k), y: ort.NewTensor(labels), target: ort.NewTensor(targets),
			}
			if _, err := (gradientCheck{model: g.Model(), feeds: feeds, seed: 1}).run(); err != nil {
				t.Error(err)
			}
			got := evaluated(t, g.Model(), feeds)[loss]
			for row := range n {
				if want := l.want(row); math.Abs(got[row]-want) > 1e-9*max(1, math.Abs(want)) {
					t.Errorf("example %d has the loss %v, not %v", row, got[row], want)
				}
			}
		})
	}
}

// TestSquaredError is the loss that compares with values of the same shape.
func TestSquaredError(t *testing.T) {
	b := onnx.NewBuilder("loss")
	b.Output(b.Op("Identity", nil, b.Input("z", onnx.Float32, "N", 2, 3)), onnx.Float32, onnx.Dims("N", 2, 3))
	g, err := New(b.Model())
	if err != nil {
		t.Fatal(err)
	}
	target := g.Input("target", onnx.Float32, "N", 2, 3)
	loss, err := g.Loss(SquaredError, g.Graph.Outputs[0].Name, target)
	if err != nil {
		t.Fatal(err)
	}
	g.Graph.Outputs = nil
	g.Output(loss, onnx.Float32, onnx.Dims("N"))
	feeds := map[string]float64eval.Value{
		"z":    ort.NewTensor([]float32{1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 1}, 2, 2, 3),
		target: ort.NewTensor([]float32{1, 2, 3, 4, 5, 4, 1, 1, 0, 0, 2, 1}, 2, 2, 3),
	}
	if _, err := (gradientCheck{model: g.Model(), feeds: feeds, seed: 1}).run(); err != nil {
		t.Error(err)
	}
	if got := evaluated(t, g.Model(), feeds)[loss]; !slices.Equal(got, []float64{4, 6}) {
		t.Errorf("the losses are %v", got)
	}
}

// evaluated gives a model's outputs in float64.
func evaluated(t *testing.T, m *onnx.Model, feeds map[string]float64eval.Value) map[string][]float64 {
	t.Helper()
	wide, err := float64eval.Convert(m)
	if err != nil {
		t.Fatal(err)
	}
	e, err := float64eval.New(wide)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	inputs, err := widened(feeds)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Run(inputs)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float64{}
	for name, v := range got {
		out[name] = numbers(v.(*ort.Tensor))
	}
	return out
}
