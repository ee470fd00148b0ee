package bounds

import (
	"fmt"
	"slices"

	"assay/onnx"
)

// rule is what is known of an operator.
type rule struct {
	// fits says why a node cannot be bounded, "" where it can. Nil: always.
	fits func(b *bounder, n *onnx.Node) string
	// interval finds the bounds of the node's outputs from those of its inputs.
	interval func(b *bounder, n *onnx.Node) error
	// linear gives, for an operator that is affine in those of its inputs that depend on
	// the model's, the greatest errors of its output, see error.go; "" where it makes none.
	linear func(b *bounder, n *onnx.Node) (string, error)
	// single says that linear holds where one input alone depends on the model's.
	single bool
	// mean says that the output has no more than its inputs' intervals tell, and fewer elements.
	mean bool
	// relax gives linear bounds of a function of the first input, element by element.
	// Where neither this nor linear holds, linear bounds end at the node's output, whose
	// interval is used.
	relax func(b *bounder, n *onnx.Node) relaxed
}

// table is every operator that has bounds, under its name with its domain.
func table() map[string]rule {
	structural := rule{fits: batchStays, interval: monotone, linear: noError}
	average := rule{fits: batchStays, interval: averaged, linear: averageError, mean: true}
	weighted := rule{fits: weightsKnown, interval: affine, linear: affineError}
	rising := rule{interval: increasing}
	t := map[string]rule{
		"Conv": weighted, "ConvTranspose": weighted, "Gemm": weighted, "BatchNormalization": weighted,
		"MatMul":  {fits: matMulFits, interval: matMul, linear: affineError, single: true},
		"Add":     {interval: sum, linear: sumError},
		"Sub":     {interval: sum, linear: sumError},
		"Neg":     {interval: negated, linear: noError},
		"Mul":     {interval: product, linear: productError, single: true},
		"Div":     {fits: divisorKnown, interval: product, linear: productError},
		"MaxPool": {interval: monotone}, // pool.go has its linear bounds
		"Gather":  {fits: batchStays, interval: monotone, linear: averageError},
		"Softmax": {fits: batchStays, interval: softmax},

		"Relu":      {interval: monotone, relax: relu},
		"LeakyRelu": {fits: slopeKnown, interval: leaky, relax: leakyRelu},
		"PRelu":     {fits: slopeKnown, interval: leaky, relax: leakyRelu},
		"Sigmoid":   {interval: increasing, relax: sShaped},
		"Tanh":      {interval: increasing, relax: sShaped},
		"Gelu":      {interval: gelu, relax: geluLines},
		"Erf":       rising, "Softplus": rising, "Exp": rising,
	}
	for _, op := range []string{"Identity", "Reshape", "Transpose", "Slice", "Split", "Concat", "Pad"} {
		t[op] = structural
	}
	for _, op := range []string{"AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"} {
		t[op] = average
	}
	return t
}

// affineHere reports whether linear bounds go on through a node as they are.
func (b *bounder) affineHere(n *onnx.Node) bool {
	r := b.rules[n.OpType()]
	return r.linear != nil && (!r.single || len(b.variable(n)) == 1)
}

// variable lists which of a node's inputs depend on the model's.
func (b *bounder) variable(n *onnx.Node) []int {
	var at []int
	for i, v := range n.Inputs {
		if b.depends(v) {
			at = append(at, i)
		}
	}
	return at
}

// onlyFirst says why a node does not have just its first input depend on the model's.
func (b *bounder) onlyFirst(n *onnx.Node) string {
	if !slices.Equal(b.variable(n), []int{0}) {
		return "more than its first input depends on the model's"
	}
	return ""
}

// batchStays refuses what joins the examples of a batch or picks from among them.
func batchStays(b *bounder, n *onnx.Node) string {
	var axes []int64
	rank := int64(len(b.types.Shape(n.Input(0))))
	list := func(i int) []int64 {
		if c := b.types.Constant(n.Input(i)); c != nil {
			v, _ := c.Int64s()
			return v
		}
		return nil
	}
	switch n.Op {
	case "Transpose":
		if perm := n.Ints("perm"); len(perm) == 0 || perm[0] != 0 {
			return "it moves the batch from the first dimension"
		}
	case "Slice":
		if axes = list(3); axes == nil {
			axes = []int64{0}
		}
	case "ReduceMean", "ReduceSum":
		if axes = list(1); len(axes) == 0 {
			axes = []int64{0}
		}
	case "Split", "Gather", "Concat":
		axes = []int64{n.Int("axis", 0)}
	case "Softmax":
		axes = []int64{n.Int("axis", -1)}
	case "Pad":
		if pads := list(1); len(n.Inputs) > 3 || len(pads) == 0 || pads[0] != 0 || pads[rank] != 0 {
			return "which dimensions it pads is not certain"
		}
	}
	for _, a := range axes {
		if a == 0 || a == -rank {
			return "it works along the batch"
		}
	}
	switch {
	case n.Op == "Concat":
		return ""
	case n.Op == "Pad" && n.Text("mode", "constant") != "constant":
		return "it pads with copies"
	}
	return b.onlyFirst(n)
}

func weightsKnown(b *bounder, n *onnx.Node) string {
	if because := b.onlyFirst(n); because != "" {
		return because
	}
	switch {
	case n.Op == "Gemm" && n.Int("transA", 0) != 0:
		return "it transposes the batch"
	case n.Op == "BatchNormalization" && (n.Int("training_mode", 0) != 0 || len(n.Outputs) > 1 && n.Outputs[1] != ""):
		return "it is in training mode"
	case n.Op != "BatchNormalization" && !b.stated(n.Input(1)):
		return "the shape of its weights is not known"
	}
	return tooLong(b.terms(n, len(b.variable(n)) == 1))
}

func matMulFits(b *bounder, n *onnx.Node) string {
	for _, v := range n.Inputs {
		if !b.stated(v) || len(b.types.Shape(v)) < 2 {
			return "its inputs are not matrices of known shape"
		}
	}
	return tooLong(b.terms(n, len(b.variable(n)) == 1))
}

func tooLong(terms int64) string {
	if _, err := gamma(terms); err != nil {
		return err.Error()
	}
	return ""
}

func (b *bounder) stated(v string) bool {
	_, fixed := b.types.Shape(v).Sizes()
	return fixed
}

func divisorKnown(b *bounder, n *onnx.Node) string { return b.onlyFirst(n) }

// slopeKnown wants slopes of 0 to 1, for which the function is convex and rising.
func slopeKnown(b *bounder, n *onnx.Node) string {
	slopes := []float64{float64(n.Float("alpha", 0.01))}
	if n.Op == "PRelu" {
		c := b.types.Constant(n.Input(1))
		if c == nil {
			return "its slopes are no constants"
		}
		var err error
		if slopes, err = c.Float64s(); err != nil {
			return err.Error()
		}
	}
	for _, s := range slopes {
		if !(s >= 0 && s <= 1) {
			return fmt.Sprintf("its slope %v is not of 0 to 1", s)
		}
	}
	return ""
}

// terms is the number of products in each sum of a node, at the most: forward, or where
// that is asked for in the sums of its vector-Jacobian products too.
func (b *bounder) terms(n *onnx.Node, back bool) int64 {
	size := func(s onnx.Shape) int64 {
		sizes, _ := s.Sizes()
		count, _ := onnx.Count(sizes)
		return max(1, count)
	}
	x := b.types.Shape(n.Input(0))
	switch n.Op {
	case "Conv", "ConvTranspose":
		w := b.types.Shape(n.Input(1))
		in, out := size(w[1:]), size(w[:1])*size(w[2:])
		if back {
			return max(in, out)
		}
		if n.Op == "Conv" {
			return in
		}
		return out
	case "Gemm", "MatMul":
		inner := x[len(x)-1].Size
		if back {
			w := b.types.Shape(n.Inputs[1-b.variable(n)[0]])
			return max(inner, w[len(w)-1].Size, w[len(w)-2].Size)
		}
		return inner
	case "BatchNormalization":
		return 8
	case "AveragePool":
		k, _ := onnx.Count(n.Ints("kernel_shape"))
		return k
	case "GlobalAveragePool":
		return size(x[2:])
	case "Softmax":
		axis := n.Int("axis", -1)
		if axis < 0 {
			axis += int64(len(x))
		}
		return x[axis].Size
	case "Gather":
		return size(b.types.Shape(n.Input(1)))
	}
	return max(1, size(x)/size(b.types.Shape(n.Output(0)))) // of ReduceMean and ReduceSum
}
