package certificate

import "testing"

func TestAccuracyByBudget(t *testing.T) {
	list := []Certificate{{Correct: true, Budget: 3}, {Correct: true}, {Budget: 9}, {Correct: true, Budget: 1}}
	points, err := AccuracyByBudget(list, []int{0, 1, 2, 4}, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	for i, hits := range []int{3, 2, 1, 0} {
		if p := points[i]; p.Hits != hits || p.N != 4 || p.Accuracy != float64(hits)/4 || p.Interval.Upper <= p.Accuracy {
			t.Errorf("%+v, want %d hits", p, hits)
		}
	}
	if _, err := AccuracyByBudget(list, []int{-1}, 0.95); err == nil {
		t.Error("a negative budget was taken")
	}
	if _, err := AccuracyByBudget(nil, []int{1}, 0.95); err == nil {
		t.Error("nothing was counted and taken for a rate")
	}
}
