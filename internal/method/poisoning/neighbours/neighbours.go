// Package neighbours finds nearest neighbours exactly, as a product of matrices that ONNX Runtime computes in blocks.
package neighbours

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"assay/internal/method/poisoning"
	"assay/internal/model/ort"
	"assay/onnx"
)

// blockNumbers is how many squared distances are held at once: 64 MB of them.
const blockNumbers = 16 << 20

// Search gives a search that takes the squared distance of rows a and b to be |a|²-2ab+|b|², less their common mean. What
// is nearest by that is measured again by its differences, so that the distances given are
// those of the rows. Beside the rows and a copy of them it takes memory for a block alone, and time in proportion to the
// square of their number.
func Search(o ort.Options) poisoning.Search {
	return func(ctx context.Context, m poisoning.Matrix, k int) (*poisoning.Nearest, error) {
		n := m.Len()
		if k < 1 || k > n-1 {
			return nil, fmt.Errorf("%d records do not have %d neighbours each", n, k)
		}
		s, err := ort.New(graph(m.Width, k+1), o)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		rows, norms := centred(m)
		out := &poisoning.Nearest{K: k, Index: make([]int32, n*k), Distance: make([]float32, n*k)}
		size := max(min(blockNumbers/n, n), 1)
		found := make([]int64, size*(k+1))
		all, squares := ort.NewTensor(rows, int64(n), int64(m.Width)), ort.NewTensor(norms, int64(n))
		for from := 0; from < n; from += size {
			to := min(from+size, n)
			part := ort.NewTensor(rows[from*m.Width:to*m.Width], int64(to-from), int64(m.Width))
			at := ort.NewTensor(found[:(to-from)*(k+1)], int64(to-from), int64(k+1))
			if err := s.Run(ctx, []*ort.Tensor{part, all, squares}, []*ort.Tensor{at}); err != nil {
				return nil, fmt.Errorf("the nearest neighbours: %w", err)
			}
			for i := from; i < to; i++ {
				take(out, m, i, found[(i-from)*(k+1):(i-from+1)*(k+1)])
			}
		}
		return out, nil
	}
}

// graph gives the places of the smallest |b|²-2ab of each row a of a part, over all rows b.
func graph(width, k int) *onnx.Model {
	b := onnx.NewBuilder("neighbours")
	part := b.Input("part", onnx.Float32, "part", width)
	all := b.Input("all", onnx.Float32, "all", width)
	squares := b.Input("squares", onnx.Float32, "all")
	scores := b.Op("Gemm", onnx.Attrs{"alpha": float32(-2), "transB": int64(1)}, part, all, squares)
	count := b.Constant(onnx.NewTensor("", []int64{int64(k)}, 1))
	values, places := b.Name("values"), b.Name("places")
	b.Add("TopK", onnx.Attrs{"axis": int64(1), "largest": int64(0), "sorted": int64(1)}, []string{scores, count}, []string{values, places})
	b.Output(places, onnx.Int64, onnx.Dims("part", k))
	return b.Model()
}

// centred gives the rows less their mean, and the squared length of each.
func centred(m poisoning.Matrix) (rows, norms []float32) {
	mean := make([]float64, m.Width)
	for i := range m.Len() {
		for j, v := range m.Row(i) {
			mean[j] += float64(v) / float64(m.Len())
		}
	}
	rows, norms = make([]float32, len(m.Data)), make([]float32, m.Len())
	for i := range norms {
		sum := 0.0
		for j, v := range m.Row(i) {
			d := float64(v) - mean[j]
			rows[i*m.Width+j] = float32(d)
			sum += d * d
		}
		norms[i] = float32(sum)
	}
	return rows, norms
}

// take measures what was found for a row and keeps the nearest but itself, equals in the order of the records.
func take(out *poisoning.Nearest, m poisoning.Matrix, i int, found []int64) {
	type neighbour struct {
		index    int32
		distance float64
	}
	list := make([]neighbour, 0, len(found))
	for _, j := range found {
		if int(j) == i {
			continue
		}
		sum := 0.0
		other := m.Row(int(j))
		for c, v := range m.Row(i) {
			d := float64(v) - float64(other[c])
			sum += d * d
		}
		list = append(list, neighbour{int32(j), math.Sqrt(sum)})
	}
	slices.SortFunc(list, func(a, b neighbour) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.index, b.index))
	})
	for k := range out.K {
		out.Index[i*out.K+k], out.Distance[i*out.K+k] = list[k].index, float32(list[k].distance)
	}
}
