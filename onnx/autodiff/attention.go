package autodiff

import (
	"math"

	"assay/onnx"
)

// expandAttention writes Attention (sets 23 and 24) as its function in the ONNX
// specification does: softmax(softcap(scale·Q·Kᵀ) + bias)·V, where the bias is made
// of the mask, the causal frontier and the padding. Heads of Q that share one of K
// and V are a dimension of their own, so that K and V are not repeated.
func expandAttention(e *expander, n *onnx.Node) []string {
	a, ok := e.attention(n)
	if !ok {
		return nil
	}
	k := e.heads(n.Inputs[1], a.kvHeads, a.flat)
	v := e.heads(n.Inputs[2], a.kvHeads, a.flat)
	past := ""
	if n.Input(4) != "" && n.Input(5) != "" {
		past = n.Input(4)
		k = e.Op("Concat", onnx.Attrs{"axis": int64(2)}, past, k)
		v = e.Op("Concat", onnx.Attrs{"axis": int64(2)}, n.Input(5), v)
	}
	raw := e.scores(a, e.heads(n.Inputs[0], a.heads, a.flat), k)
	capped := raw
	if c := float64(n.Float("softcap", 0)); c != 0 {
		limit := e.Number(a.elem, c)
		capped = e.Op("Mul", nil, e.Op("Tanh", nil, e.Op("Div", nil, raw, limit)), limit)
	}
	biased, safe, alive := capped, capped, ""
	if bias := e.attentionBias(n, a, past, k); bias != "" {
		biased = e.Op("Add", nil, capped, bias)
		safe = biased
		if n.Input(3) != "" || n.Input(6) != "" {
			alive, safe = e.guarded(a, capped, bias)
		}
	}
	weights := e.softmaxIn(onnx.DataType(n.Int("softmax_precision", int64(a.elem))), a.elem, safe)
	y := e.weighted(a, weights, v)
	if alive != "" {
		y = e.Op("Mul", nil, y, alive)
	}
	if a.flat {
		y = e.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1, 3}}, y)
		y = e.Op("Reshape", nil, y, e.Ints(0, 0, -1))
	}
	scores := ""
	if n.Output(3) != "" {
		switch n.Int("qk_matmul_output_mode", 0) {
		case 1:
			scores = capped
		case 2:
			scores = biased
		case 3:
			if scores = weights; alive != "" {
				scores = e.Op("Mul", nil, weights, alive)
			}
		default:
			scores = raw
		}
	}
	return outputs(n, y, k, v, scores)
}

// attention is the form of an Attention node.
type attention struct {
	elem           onnx.DataType
	flat           bool   // the inputs have 3 dimensions, the heads within the last
	q              string // the node's query
	heads, kvHeads int64
	scale          float64
}

// attention reads a node's form; not ok where ranks, the number of heads or their
// size are not known, or where it has windows, which newer operator sets bring.
func (e *expander) attention(n *onnx.Node) (a attention, ok bool) {
	q, k := e.shape(n.Inputs[0]), e.shape(n.Input(1))
	if n.Has("left_window_size") || n.Has("right_window_size") || len(q) != len(k) || len(q) != len(e.shape(n.Input(2))) {
		return a, false
	}
	a = attention{elem: e.elem(n.Inputs[0]), q: n.Inputs[0]}
	var size int64
	switch len(q) {
	case 3:
		a.flat = true
		if a.heads, a.kvHeads = n.Int("q_num_heads", 0), n.Int("kv_num_heads", 0); a.heads > 0 {
			size = q[2].Size / a.heads
		}
	case 4:
		a.heads, a.kvHeads, size = q[1].Size, k[1].Size, q[3].Size
	default:
		return a, false
	}
	if a.heads <= 0 || a.kvHeads <= 0 || a.heads%a.kvHeads != 0 || size <= 0 || !a.elem.IsFloat() {
		return a, false
	}
	a.scale = float64(n.Float("scale", 0))
	if !n.Has("scale") {
		a.scale = 1 / math.Sqrt(float64(size))
	}
	return a, true
}

// lengthAxis is the dimension of the node's inputs that runs along the sequence.
func (a attention) lengthAxis() int {
	if a.flat {
		return 1
	}
	return 2
}

// keyLength is the number of keys, with those of the past; -1 where it isn't known.
func (e *expander) keyLength(n *onnx.Node, a attention, past string) int64 {
	length := e.shape(n.Inputs[1])[a.lengthAxis()].Size
	if past == "" || length < 0 {
		return length
	}
	if before := e.shape(past); len(before) == 4 && before[2].Known() {
		return before[2].Size + length
	}
	return -1
}

// heads brings a value to 4 dimensions, (batch, heads, length, size).
func (e *expander) heads(x string, heads int64, flat bool) string {
	if !flat {
		return x
	}
	split := e.Op("Reshape", nil, x, e.Ints(0, 0, heads, -1))
	return e.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1, 3}}, split)
}

// scores is scale·Q·Kᵀ, of 4 dimensions.
func (e *expander) scores(a attention, q, k string) string {
	q = e.Op("Mul", nil, q, e.Number(a.elem, a.scale))
	if a.heads == a.kvHeads {
		return e.Op("MatMul", nil, q, e.Op("Transpose", onnx.Attrs{"perm": []int64{0, 1, 3, 2}}, k))
	}
	columns := e.Op("Transpose", onnx.Attrs{"perm": []int64{0, 1, 3, 2}}, k)
	return e.ungrouped(a, e.Op("MatMul", nil, e.grouped(a, q), e.Op("Unsqueeze", nil, columns, e.Ints(2))))
}

// weighted is weights·V, of 4 dimensions.
func (e *expander) weighted(a attention, weights, v string) string {
	if a.heads == a.kvHeads {
		return e.Op("MatMul", nil, weights, v)
	}
	return e.ungrouped(a, e.Op("MatMul", nil, e.grouped(a, weights), e.Op("Unsqueeze", nil, v, e.Ints(2))))
}

// grouped splits (batch, heads, rows, columns) into (batch, kvHeads, group, rows, columns).
func (e *expander) grouped(a attention, x string) string {
	last := e.Op("Shape", onnx.Attrs{"start": int64(2)}, x)
	return e.Op("Reshape", nil, x, e.joined(e.Ints(0, a.kvHeads, a.heads/a.kvHeads), last))
}

func (e *expander) ungrouped(a attention, x string) string {
	last := e.Op("Shape", onnx.Attrs{"start": int64(3)}, x)
	return e.Op("Reshape", nil, x, e.joined(e.Ints(0, a.heads), last))
}

// attentionBias is what is added to the scores: 0 or -∞ where the mask, the causal
// frontier and the padding allow or forbid a key, and the mask's own numbers if it
// has them. It broadcasts to the scores; "" for none.
func (e *expander) attentionBias(n *onnx.Node, a attention, past, keys string) string {
	rows, columns, length := e.size(a.q, a.lengthAxis()), "", e.keyLength(n, a, past)
	if length >= 0 {
		columns = e.Ints(length)
	} else {
		columns = e.Op("Shape", onnx.Attrs{"start": int64(2), "end": int64(3)}, keys)
	}
	bias := ""
	add := func(other string) {
		if bias == "" {
			bias = other
			return
		}
		bias = e.Op("Add", nil, bias, other)
	}
	if mask := n.Input(3); mask != "" {
		add(e.maskBias(a, mask, columns, length))
	}
	valid := n.Input(6) // keys that are not padding, for each example
	key := ""
	if valid != "" || n.Int("is_causal", 0) != 0 {
		key = e.counting(columns)
	}
	if valid != "" {
		valid = e.Op("Reshape", nil, valid, e.Ints(-1, 1, 1, 1))
		add(e.forbid(a, e.Op("Less", nil, key, valid)))
	}
	if n.Int("is_causal", 0) != 0 {
		last := e.Op("Unsqueeze", nil, e.counting(rows), e.Ints(1))
		switch {
		case past != "":
			last = e.Op("Add", nil, last, e.Op("Shape", onnx.Attrs{"start": int64(2), "end": int64(3)}, past))
		case valid != "":
			last = e.Op("Add", nil, last, e.Op("Sub", nil, valid, rows))
		}
		add(e.forbid(a, e.Op("LessOrEqual", nil, key, last)))
	}
	return bias
}

// forbid is 0 where allowed, else -∞.
func (e *expander) forbid(a attention, allowed string) string {
	return e.Op("Where", nil, allowed, e.Number(a.elem, 0), e.Number(a.elem, math.Inf(-1)))
}

// maskBias makes numbers of a mask of truth values, and forbids the keys that a
// mask is too short to tell of. The length is that of the keys, -1 where unknown.
func (e *expander) maskBias(a attention, mask, columns string, length int64) string {
	shape := e.shape(mask)
	switch t := e.elem(mask); {
	case t == onnx.Bool:
		mask = e.forbid(a, mask)
	case t != a.elem:
		mask = e.Op("Cast", onnx.Attrs{"to": int64(a.elem)}, mask)
	}
	if len(shape) > 0 && length >= 0 && shape[len(shape)-1].Size == length {
		return mask
	}
	have := e.Op("Shape", onnx.Attrs{"start": int64(-1)}, mask)
	missing := e.joined(e.Ints(0), e.Op("Sub", nil, columns, have))
	return e.Op("Pad", nil, mask, missing, e.Number(a.elem, math.Inf(-1)), e.Ints(-1))
}

// guarded adds the bias to the scores but for rows that may attend no key, whose
// softmax would be NaN: alive, of shape (…, rows, 1), is 0 for these, else 1.
func (e *expander) guarded(a attention, scores, bias string) (alive, safe string) {
	most := e.Op("ReduceMax", nil, bias, e.Ints(-1))
	dead := e.Op("Equal", nil, most, e.Number(a.elem, math.Inf(-1)))
	alive = e.Op("Cast", onnx.Attrs{"to": int64(a.elem)}, e.Op("Not", nil, dead))
	return alive, e.Op("Add", nil, scores, e.Op("Where", nil, dead, e.Number(a.elem, 0), bias))
}

// softmaxIn takes the softmax over the last dimension at a precision of its own.
func (e *expander) softmaxIn(precision, elem onnx.DataType, x string) string {
	if precision == elem || !precision.IsFloat() {
		return e.Op("Softmax", onnx.Attrs{"axis": int64(-1)}, x)
	}
	wide := e.Op("Cast", onnx.Attrs{"to": int64(precision)}, x)
	return e.Op("Cast", onnx.Attrs{"to": int64(elem)}, e.Op("Softmax", onnx.Attrs{"axis": int64(-1)}, wide))
}

// expandRotaryEmbedding rotates pairs of each head's elements by an angle that
// grows with the position (Su and others 2021, arXiv:2104.09864).
func expandRotaryEmbedding(e *expander, n *onnx.Node) []string {
	x, shape := n.Inputs[0], e.shape(n.Inputs[0])
	heads := n.Int("num_heads", 0)
	flat := len(shape) == 3
	if !flat && len(shape) != 4 || flat && heads <= 0 {
		return nil
	}
	size := shape[len(shape)-1].Size
	if flat && size > 0 {
		size /= heads
	}
	rotated := n.Int("rotary_embedding_dim", 0)
	if rotated == 0 {
		rotated = size
	}
	if rotated <= 0 || rotated%2 != 0 {
		return nil
	}
	between := int64(1) // where the caches get the dimension of heads
	if flat {
		x, between = e.Op("Reshape", nil, x, e.Ints(0, 0, heads, -1)), 2
	}
	cache := func(c string) string {
		if at := n.Input(3); at != "" {
			c = e.Op("Gather", nil, c, at)
		}
		return e.Op("Unsqueeze", nil, c, e.Ints(between))
	}
	y := e.rotate(x, cache(n.Inputs[1]), cache(n.Inputs[2]), rotated, n.Int("interleaved", 0) != 0)
	if rotated != size {
		y = e.Op("Concat", onnx.Attrs{"axis": int64(-1)}, y, e.cut(x, rotated, toEnd, 1))
	}
	if flat {
		y = e.Op("Reshape", nil, y, e.Ints(0, 0, -1))
	}
	return outputs(n, y)
}

// rotate turns the pairs (x1, x2) of the first elements of the last dimension.
func (e *expander) rotate(x, cos, sin string, rotated int64, interleaved bool) string {
	x1, x2 := "", ""
	if interleaved {
		x1, x2 = e.cut(x, 0, rotated, 2), e.cut(x, 1, rotated, 2)
	} else {
		x1, x2 = e.cut(x, 0, rotated/2, 1), e.cut(x, rotated/2, rotated, 1)
	}
	first := e.Op("Sub", nil, e.Op("Mul", nil, x1, cos), e.Op("Mul", nil, x2, sin))
	second := e.Op("Add", nil, e.Op("Mul", nil, x1, sin), e.Op("Mul", nil, x2, cos))
	if !interleaved {
		return e.Op("Concat", onnx.Attrs{"axis": int64(-1)}, first, second)
	}
	pairs := e.Op("Concat", onnx.Attrs{"axis": int64(-1)},
		e.Op("Unsqueeze", nil, first, e.Ints(-1)), e.Op("Unsqueeze", nil, second, e.Ints(-1)))
	return e.Op("Reshape", nil, pairs, e.Ints(0, 0, 0, rotated))
}
