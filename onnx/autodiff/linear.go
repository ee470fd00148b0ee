package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"assay/onnx"
)

// linear holds the products of matrices.
var linear = map[string]operator{
	"MatMul": {gradient: matMulGradient},
	"Gemm":   {gradient: gemmGradient},
	"Einsum": {gradient: einsumGradient},
}

// matMulGradient: for Y = A·B, dA = dY·Bᵀ and dB = Aᵀ·dY, summed over the batch
// dimensions that were broadcast. A vector takes part as a matrix of one row or column.
func matMulGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	a, b, d := n.Inputs[0], n.Inputs[1], dy[0]
	rankA, err := p.rank(a)
	if err != nil {
		return nil, err
	}
	rankB, err := p.rank(b)
	if err != nil {
		return nil, err
	}
	matA, matB := a, b
	if rankB == 1 {
		matB, d = p.Op("Unsqueeze", nil, b, p.Ints(1)), p.Op("Unsqueeze", nil, d, p.Ints(-1))
	}
	if rankA == 1 {
		matA, d = p.Op("Unsqueeze", nil, a, p.Ints(0)), p.Op("Unsqueeze", nil, d, p.Ints(-2))
	}
	var da, db string
	if p.wants(a) {
		da = p.Op("MatMul", nil, d, p.transposed(matB, max(rankB, 2)))
		da = p.sumMatrix(da, a, b, rankA, max(rankA, rankB, 2))
	}
	if p.wants(b) {
		if rankB == 2 && rankA == 2 && p.postpone(b, a, d) {
			return []string{da, ""}, nil
		}
		if rankB == 2 && rankA > 2 { // a layer applied to many rows: one large product
			k, m := p.shape(b)[0], p.shape(b)[1]
			if k.Known() && m.Known() {
				rows, drows := p.Op("Reshape", nil, matA, p.Ints(-1, k.Size)), p.Op("Reshape", nil, d, p.Ints(-1, m.Size))
				return []string{da, p.Op("MatMul", nil, p.transposed(rows, 2), drows)}, nil
			}
		}
		db = p.Op("MatMul", nil, p.transposed(matA, max(rankA, 2)), d)
		db = p.sumMatrix(db, b, a, rankB, max(rankA, rankB, 2))
	}
	return []string{da, db}, nil
}

// transposed swaps the last two of a value's dimensions.
func (p *pass) transposed(x string, rank int64) string {
	perm := upTo(rank)
	perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	return p.Op("Transpose", onnx.Attrs{"perm": perm}, x)
}

// sumMatrix brings the gradient of an operand of MatMul, of the full rank, to the
// operand's own shape.
func (p *pass) sumMatrix(grad, operand, other string, rank, full int64) string {
	if rank >= full && rank > 1 && !p.batchBroadcast(operand, other) {
		return grad
	}
	if rank <= 2 && full > 2 {
		grad = p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, grad, p.Ints(upTo(full-2)...))
		full = 2
	}
	if rank == 1 || full == rank && rank == 2 {
		return p.Op("Reshape", nil, grad, p.shapeOf(operand))
	}
	return p.sumToDynamic(grad, operand)
}

// batchBroadcast reports whether one of an operand's batch dimensions may have been
// broadcast to that of the other, which has no more dimensions.
func (p *pass) batchBroadcast(operand, other string) bool {
	mine, its := p.shape(operand), p.shape(other)
	lead := len(mine) - len(its)
	for i, d := range mine[:len(mine)-2] {
		if d.Size > 1 || i < lead || i-lead < len(its)-2 && d.Equal(its[i-lead]) {
			continue
		}
		if i-lead < len(its)-2 {
			return true
		}
	}
	return false
}

// gemmGradient: Y = α·A'·B' + β·C, where A' is A or its transpose.
func gemmGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	a, b, d := n.Inputs[0], n.Inputs[1], dy[0]
	transA, transB := n.Int("transA", 0) != 0, n.Int("transB", 0) != 0
	gemm := func(x string, transX bool, y string, transY bool) string {
		attrs := onnx.Attrs{"alpha": n.Float("alpha", 1)}
		if transX {
			attrs["transA"] = int64(1)
		}
		if transY {
			attrs["transB"] = int64(1)
		}
		return p.Op("Gemm", attrs, x, y)
	}
	grads := make([]string, 3)
	if p.wants(a) {
		if transA {
			grads[0] = gemm(b, transB, d, true)
		} else {
			grads[0] = gemm(d, false, b, !transB)
		}
	}
	if p.wants(b) {
		if transB {
			grads[1] = gemm(d, true, a, transA)
		} else {
			grads[1] = gemm(a, !transA, d, false)
		}
	}
	if c := n.Input(2); p.wants(c) {
		if beta := float64(n.Float("beta", 1)); beta != 1 {
			d = p.times(d, beta)
		}
		grads[2] = p.sumTo(d, c, n.Outputs[0])
	}
	return grads, nil
}

// einsumGradient: the gradient of an operand is the Einsum of the other operands
// and dY with the operand's subscripts as the result's. Subscripts of the operand
// that stand nowhere else were summed over, so its gradient is the same along them.
func einsumGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	terms, result, err := subscripts(n.Text("equation", ""), len(n.Inputs))
	if err != nil {
		return nil, err
	}
	grads := make([]string, len(n.Inputs))
	for i, x := range n.Inputs {
		if !p.wants(x) {
			continue
		}
		if grads[i], err = p.einsumOperand(n, dy[0], terms, result, i); err != nil {
			return nil, err
		}
	}
	return grads, nil
}

// subscripts splits an equation into those of the operands and of the result, with
// "..." as the single letter '.', and makes an implicit result explicit: the
// letters that stand once, in order.
func subscripts(equation string, operands int) (terms []string, result string, err error) {
	equation = strings.ReplaceAll(strings.ReplaceAll(equation, " ", ""), "...", ".")
	left, result, explicit := strings.Cut(equation, "->")
	terms = strings.Split(left, ",")
	if len(terms) != operands {
		return nil, "", fmt.Errorf("equation %q has %d terms for %d operands", equation, len(terms), operands)
	}
	if explicit {
		return terms, result, nil
	}
	letters := []rune(strings.ReplaceAll(strings.ReplaceAll(left, ",", ""), ".", ""))
	slices.Sort(letters)
	for _, r := range slices.Compact(slices.Clone(letters)) {
		if strings.Count(left, string(r)) == 1 {
			result += string(r)
		}
	}
	if strings.Contains(left, ".") {
		result = "." + result
	}
	return terms, result, nil
}

func (p *pass) einsumOperand(n *onnx.Node, dy string, terms []string, result string, i int) (string, error) {
	x := n.Inputs[i]
	rank, err := p.rank(x)
	if err != nil {
		return "", err
	}
	sources, inputs := []string{result}, []string{dy}
	for j, term := range terms {
		if j != i {
			sources, inputs = append(sources, term), append(inputs, n.Inputs[j])
		}
	}
	// A letter that stands twice takes the diagonal: its second place gets a letter
	// of its own and an identity matrix that ties the two.
	own, seen := "", ""
	for at, r := range terms[i] {
		letter := string(r)
		if letter != "." && strings.Contains(seen, letter) {
			fresh := freshLetter(strings.Join(terms, "") + result + seen + own)
			if strings.Contains(own, ".") { // places after the ellipsis are counted from the end
				at += int(rank) - len(terms[i])
			}
			size := p.shape(x)[at]
			if !size.Known() {
				return "", fmt.Errorf("the size of the diagonal %q is not known", letter)
			}
			sources, inputs = append(sources, letter+fresh), append(inputs, p.identity(size.Size))
			letter = fresh
		}
		own += letter
		seen += string(r)
	}
	return p.spread(sources, inputs, own, x, rank, n.Outputs[0])
}

func freshLetter(used string) string {
	for r := 'a'; ; r++ {
		if !strings.ContainsRune(used, r) {
			return string(r)
		}
	}
}

func (p *pass) identity(size int64) string {
	eye := make([]float64, size*size)
	for i := range size {
		eye[i*size+i] = 1
	}
	t, err := onnx.FromFloat64s("", p.float, eye, size, size)
	if err != nil {
		panic("autodiff: " + err.Error())
	}
	return p.Constant(t)
}

// spread is the Einsum of inputs with own as the result, where letters of own that
// no source has become dimensions along which the values repeat, up to x's shape. The
// first source is the gradient of the value result.
func (p *pass) spread(sources, inputs []string, own, x string, rank int64, result string) (string, error) {
	all := strings.Join(sources, "")
	kept := ""
	var missing []int64
	for i, r := range own {
		if strings.ContainsRune(all, r) {
			kept += string(r)
			continue
		}
		if strings.Contains(own, ".") {
			// places after the ellipsis are counted from the end
			missing = append(missing, int64(i-len(own)))
			if i < strings.Index(own, ".") {
				missing[len(missing)-1] = int64(i)
			}
			continue
		}
		missing = append(missing, int64(i))
	}
	// The runtime sums no ellipsis away, so that is done after it.
	summed := strings.ContainsRune(all, '.') && !strings.ContainsRune(own, '.')
	if summed {
		kept = "." + kept
	}
	equation := strings.ReplaceAll(strings.Join(sources, ",")+"->"+kept, ".", "...")
	grad := p.Op("Einsum", onnx.Attrs{"equation": equation}, inputs...)
	if summed {
		full, err := p.rank(result)
		if err != nil {
			return "", err
		}
		letters := int64(len(sources[0]) - 1) // beside the ellipsis
		grad = p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, grad, p.Ints(upTo(full-letters)...))
	}
	if len(missing) > 0 {
		for i := range missing {
			if missing[i] < 0 {
				missing[i] += rank
			}
		}
		grad = p.Op("Unsqueeze", nil, grad, p.Ints(missing...))
		return p.Op("Expand", nil, grad, p.shapeOf(x)), nil
	}
	if strings.Contains(own, ".") {
		return p.sumToDynamic(grad, x), nil
	}
	return grad, nil
}
