package certificate

import (
	"fmt"

	"assay/internal/stat"
)

// BudgetPoint is the certified accuracy at a number of poisoned training records: the part of the inputs whose answer is
// right and certified to stay so whatever these are.
type BudgetPoint struct {
	Budget   int           `json:"budget"` // records
	Hits     int           `json:"hits"`
	N        int           `json:"n"`
	Accuracy float64       `json:"accuracy"`
	Interval stat.Interval `json:"interval"` // of the accuracy, exact (Clopper and Pearson 1934), for inputs drawn at random
}

// AccuracyByBudget gives the certified accuracy at each budget, as [Accuracy] does at radii.
func AccuracyByBudget(list []Certificate, budgets []int, confidence float64) ([]BudgetPoint, error) {
	points := make([]BudgetPoint, 0, len(budgets))
	for _, budget := range budgets {
		if budget < 0 {
			return nil, fmt.Errorf("nothing can be certified against %d poisoned records: give 0 or more", budget)
		}
		p := BudgetPoint{Budget: budget, N: len(list)}
		for _, c := range list {
			if c.Correct && c.Budget >= budget {
				p.Hits++
			}
		}
		var err error
		if p.Interval, err = stat.ClopperPearson(p.Hits, p.N, confidence); err != nil {
			return nil, fmt.Errorf("the certified accuracy at %d records: %w", budget, err)
		}
		p.Accuracy = float64(p.Hits) / float64(p.N)
		points = append(points, p)
	}
	return points, nil
}
