package exact

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// box is a leaf: the rows between two corners, both of them inside, all of which get the same scores.
type box struct {
	low, high []float32
	sample    []float32
	scores    []float64
}

func (b *box) contains(x []float32) bool {
	for i, v := range x {
		if v < b.low[i] || v > b.high[i] {
			return false
		}
	}
	return true
}

// meets tells whether two boxes have a row in common.
func (b *box) meets(o *box) bool {
	for i := range b.low {
		if b.low[i] > o.high[i] || o.low[i] > b.high[i] {
			return false
		}
	}
	return true
}

// within tells whether all of a box is in another.
func (b *box) within(o *box) bool { return o.contains(b.low) && o.contains(b.high) }

// forest is what is known of a tree: boxes, and rows that lead to others.
type forest struct {
	*oracle
	boxes []*box
	queue [][]float32
	found int // boxes, and rows at which one was cut
}

// confirming is how many rows anywhere confirm a tree at the end.
const confirming = 3000

// maxLeaves bounds the boxes that are kept.
const maxLeaves = 20000

// tree finds a decision tree's leaves (Tramèr et al. 2016, section 4.2): from a row, each number by itself is moved until the
// answer changes, which gives the leaf's box to the last bit of a float32; the rows just outside lead to other leaves. The boxes
// are put together as a tree by cuts that cross none of them.
//
// As in the paper an answer is taken to tell a leaf from others. Where two have the same scores a box may take in more
// than its leaf, which shows where another answer is in it: it is cut there, between the two rows, and what is cut
// off is looked at again. Then there may be more leaves than the tree has, or fewer. A leaf within what is taken for another
// is found by rows drawn at the end.
func (a *oracle) tree(ctx context.Context, natural [][]float32) (*onnx.Model, error) {
	f := &forest{oracle: a}
	middle, _ := a.record(make([]float64, a.width))
	f.queue = append(f.queue, middle)
	for i := range min(len(natural), checks) {
		x := slices.Clone(natural[i])
		for j := range x {
			x[j] = min(max(x[j], a.Domain.Low[j]), a.Domain.High[j])
		}
		f.queue = append(f.queue, x)
	}
	const attempts = 1000
	for range attempts {
		if err := f.explore(ctx); err != nil {
			return nil, err
		}
		whole := &box{low: slices.Clone(a.Domain.Low), high: slices.Clone(a.Domain.High)}
		root := f.cut(whole, f.boxes)
		if len(f.queue) > 0 {
			continue
		}
		// Where no row of these gets another answer than its box, fewer than a thousandth of all rows do, at 95 % confidence.
		before := f.found
		for range confirming {
			x, _ := a.record(a.anywhere())
			f.queue = append(f.queue, x)
		}
		if err := f.explore(ctx); err != nil {
			return nil, err
		}
		if f.found == before {
			return root.model(a.width, a.classes), nil
		}
	}
	return nil, errors.New("the model is not of the form that the method is for: its leaves do not fit together as a tree's")
}

// explore takes rows from the queue until none leads to anything new.
func (f *forest) explore(ctx context.Context) error {
	for len(f.queue) > 0 {
		rows := f.queue
		f.queue = nil
		scores, err := f.scores(ctx, rows)
		if err != nil {
			return err
		}
		for i, x := range rows {
			if err := f.take(ctx, x, scores[i]); err != nil {
				return err
			}
		}
		if len(f.boxes) > maxLeaves {
			return fmt.Errorf("the model has more than %d leaves, or is no tree", maxLeaves)
		}
	}
	return nil
}

// take notes what a row is answered, and finds its box if it is in none.
func (f *forest) take(ctx context.Context, x []float32, scores []float64) error {
	inside := false
	for _, b := range f.boxes {
		if !b.contains(x) {
			continue
		}
		if slices.Equal(b.scores, scores) {
			inside = true
		} else if err := f.separate(ctx, b, x); err != nil {
			return err
		}
	}
	if inside {
		return nil
	}
	b, err := f.around(ctx, x, scores)
	if err != nil {
		return err
	}
	f.boxes = append(f.boxes, b)
	f.found++
	for i := range x {
		if b.low[i] > f.Domain.Low[i] {
			f.beside(b, i, math.Nextafter32(b.low[i], float32(math.Inf(-1))))
		}
		if b.high[i] < f.Domain.High[i] {
			f.beside(b, i, math.Nextafter32(b.high[i], float32(math.Inf(1))))
		}
	}
	return nil
}

// beside queues the row next to a box.
func (f *forest) beside(b *box, i int, value float32) {
	x := slices.Clone(b.sample)
	x[i] = value
	f.queue = append(f.queue, x)
}

// search is one number on its way from a row, where the answer is the box's, to where it is not.
type search struct {
	number    int
	same, not float32
	end       *float32 // of the box, that it decides
}

// around finds the box of a row: each number goes to its limits, and where the answer changes on the way, the halfway
// is tried again, of all numbers at once, down to neighbouring numbers of float32.
func (f *forest) around(ctx context.Context, x []float32, scores []float64) (*box, error) {
	b := &box{low: slices.Clone(f.Domain.Low), high: slices.Clone(f.Domain.High), sample: x, scores: scores}
	var open []search
	for i := range x {
		if x[i] > b.low[i] {
			open = append(open, search{i, x[i], b.low[i], &b.low[i]})
		}
		if x[i] < b.high[i] {
			open = append(open, search{i, x[i], b.high[i], &b.high[i]})
		}
	}
	ask := func(value func(search) float32) ([]bool, error) {
		rows := make([][]float32, len(open))
		for j, s := range open {
			rows[j] = slices.Clone(x)
			rows[j][s.number] = value(s)
		}
		got, err := f.scores(ctx, rows)
		same := make([]bool, len(got))
		for j := range got {
			same[j] = slices.Equal(got[j], scores)
		}
		return same, err
	}
	same, err := ask(func(s search) float32 { return s.not })
	if err != nil {
		return nil, err
	}
	var left []search
	for j, s := range open {
		if !same[j] {
			left = append(left, s)
		}
	}
	for open = left; len(open) > 0; open = left {
		same, err := ask(func(s search) float32 { return halfway(s.same, s.not) })
		if err != nil {
			return nil, err
		}
		left = nil
		for j, s := range open {
			m := halfway(s.same, s.not)
			switch {
			case m == s.same || m == s.not: // neighbours
				*s.end = s.same
				continue
			case same[j]:
				s.same = m
			default:
				s.not = m
			}
			left = append(left, s)
		}
	}
	return b, nil
}

// halfway is the number in the middle of two, counted in numbers of float32.
func halfway(a, b float32) float32 {
	m := ordinal(a) + (ordinal(b)-ordinal(a))/2
	if m < 0 {
		return math.Float32frombits(uint32(-m) | 1<<31)
	}
	return math.Float32frombits(uint32(m))
}

// ordinal counts the numbers of float32 from 0.
func ordinal(v float32) int64 {
	bits := math.Float32bits(v)
	if bits>>31 == 1 {
		return -int64(bits &^ (1 << 31))
	}
	return int64(bits)
}

// separate cuts a box that has a row of another answer: on the way from its sample to that row, one number after the
// other, the answer changes at one of them.
func (f *forest) separate(ctx context.Context, b *box, x []float32) error {
	at := slices.Clone(b.sample)
	for i := range x {
		if at[i] == x[i] {
			continue
		}
		moved := slices.Clone(at)
		moved[i] = x[i]
		got, err := f.scores(ctx, [][]float32{moved})
		if err != nil {
			return err
		}
		if slices.Equal(got[0], b.scores) {
			at = moved
			continue
		}
		same, not := at[i], x[i]
		for m := halfway(same, not); m != same && m != not; m = halfway(same, not) {
			moved[i] = m
			if got, err = f.scores(ctx, [][]float32{slices.Clone(moved)}); err != nil {
				return err
			}
			if slices.Equal(got[0], b.scores) {
				same = m
			} else {
				not = m
			}
		}
		if not > same {
			b.high[i] = same
		} else {
			b.low[i] = same
		}
		moved[i] = not
		f.queue = append(f.queue, moved, x)
		f.found++
		return nil
	}
	return errors.New("the model answers the same row in two ways")
}

// branch is a node of the tree that is put together.
type branch struct {
	number  int
	most    float32 // that goes to yes
	yes, no *branch
	scores  []float64 // of a leaf
}

// cut puts together a region's tree by cuts that cross as few of its boxes as can be, which for a tree's own leaves is
// none. Rows that no box has, or two of different answers, go to the queue.
func (f *forest) cut(region *box, boxes []*box) *branch {
	var in []*box
	for _, b := range boxes {
		if b.meets(region) {
			in = append(in, b)
		}
	}
	whole := func(b *box) bool { return region.within(b) }
	number, most, ok := bestCut(region, in)
	if i := slices.IndexFunc(in, whole); i >= 0 && !slices.ContainsFunc(in, func(b *box) bool { return !slices.Equal(b.scores, in[i].scores) }) {
		return &branch{scores: in[i].scores}
	}
	if !ok {
		x := make([]float32, len(region.low))
		for i := range x {
			x[i] = halfway(region.low[i], region.high[i])
		}
		f.queue = append(f.queue, x)
		return &branch{scores: make([]float64, f.classes)}
	}
	yes, no := *region, *region
	yes.high, no.low = slices.Clone(region.high), slices.Clone(region.low)
	yes.high[number], no.low[number] = most, math.Nextafter32(most, float32(math.Inf(1)))
	return &branch{number: number, most: most, yes: f.cut(&yes, in), no: f.cut(&no, in)}
}

// bestCut looks at the ends of boxes within a region for the cut that crosses fewest of them, and of these for the one that
// leaves both sides most nearly as many.
func bestCut(region *box, in []*box) (number int, most float32, ok bool) {
	best := [2]int{math.MaxInt, math.MaxInt}
	for i := range region.low {
		var starts, ends []float32
		for _, b := range in {
			starts, ends = append(starts, b.low[i]), append(ends, b.high[i])
		}
		slices.Sort(starts)
		slices.Sort(ends)
		try := func(at float32) {
			if at < region.low[i] || at >= region.high[i] {
				return
			}
			above := math.Nextafter32(at, float32(math.Inf(1)))
			begun, _ := slices.BinarySearch(starts, above) // that have rows up to the cut
			ended, _ := slices.BinarySearch(ends, above)   // that have none above it
			cost := [2]int{begun - ended, max(begun, len(in)-ended)}
			if slices.Compare(cost[:], best[:]) < 0 {
				best, number, most, ok = cost, i, at, true
			}
		}
		for _, b := range in {
			try(b.high[i])
			try(math.Nextafter32(b.low[i], float32(math.Inf(-1))))
		}
	}
	return number, most, ok
}

// model writes the tree as ONNX's operator for classifiers.
func (root *branch) model(width, classes int) *onnx.Model {
	var ids, features, yes, no, trees, leaves, targets, labels []int64
	var values, weights []float32
	var modes []string
	var list func(n *branch) int64
	list = func(n *branch) int64 {
		id := int64(len(ids))
		ids, trees, features, values = append(ids, id), append(trees, 0), append(features, int64(n.number)), append(values, n.most)
		yes, no = append(yes, 0), append(no, 0)
		if n.yes == nil {
			modes = append(modes, "LEAF")
			for k, s := range n.scores {
				leaves, targets, weights = append(leaves, id), append(targets, int64(k)), append(weights, float32(s))
			}
			return id
		}
		modes = append(modes, "BRANCH_LEQ")
		yes[id] = list(n.yes)
		no[id] = list(n.no)
		return id
	}
	list(root)
	for k := range classes {
		labels = append(labels, int64(k))
	}
	b := onnx.NewBuilder("tree")
	x := b.Input("input", onnx.Float32, "batch", width)
	label, scores := b.Name("label"), b.Name("scores")
	b.Add("TreeEnsembleClassifier", onnx.Attrs{
		"nodes_treeids": trees, "nodes_nodeids": ids, "nodes_featureids": features, "nodes_values": values, "nodes_modes": modes,
		"nodes_truenodeids": yes, "nodes_falsenodeids": no,
		"class_treeids": make([]int64, len(leaves)), "class_nodeids": leaves, "class_ids": targets, "class_weights": weights,
		"classlabels_int64s": labels, "post_transform": "NONE",
	}, []string{x}, []string{label, scores}).Domain = "ai.onnx.ml"
	b.Output(label, onnx.Int64, onnx.Dims("batch"))
	b.Output(scores, onnx.Float32, onnx.Dims("batch", classes))
	m := b.Model()
	m.Opsets["ai.onnx.ml"] = 3
	return m
}
