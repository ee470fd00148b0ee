package stat

import (
	"errors"
	"fmt"
	"slices"
)

// Holm rejects hypotheses so that any true one among them is rejected with a
// probability of at most alpha, however the tests depend on each other (Holm 1979,
// Scandinavian Journal of Statistics 6, 65-70). A hypothesis is rejected where its adjusted
// p-value is at most alpha; both results are in the order of the p-values.
func Holm(pvalues []float64, alpha float64) (rejected []bool, adjusted []float64, err error) {
	if len(pvalues) == 0 {
		return nil, nil, errors.New("there are no p-values to judge")
	}
	if err := checkLimit("a family error", alpha); err != nil {
		return nil, nil, err
	}
	order := make([]int, len(pvalues))
	for i, p := range pvalues {
		if !(p >= 0 && p <= 1) {
			return nil, nil, fmt.Errorf("p-value %d is %v: it must be between 0 and 1", i+1, p)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case pvalues[a] < pvalues[b]:
			return -1
		case pvalues[a] > pvalues[b]:
			return 1
		}
		return 0
	})
	rejected, adjusted = make([]bool, len(pvalues)), make([]float64, len(pvalues))
	highest := 0.0
	for rank, i := range order {
		highest = max(highest, min(1, pvalues[i]*float64(len(order)-rank)))
		adjusted[i], rejected[i] = highest, highest <= alpha
	}
	return rejected, adjusted, nil
}
