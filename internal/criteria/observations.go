package criteria

// Observations are what was observed of a metric, unit by unit in the order of the
// plan, which was fixed before the first. Which field is filled depends on the kind of
// the metric.
type Observations struct {
	// Outcomes say for each unit whether the event of a Proportion happened: for
	// attack-success-rate that the attack succeeded, for robust-accuracy that the model
	// stayed right. Of a Difference they are whether the model was right with the solution.
	Outcomes []bool
	// Without says for each unit of a Difference whether the model was right without the
	// solution; it is as long as Outcomes.
	Without []bool
	// Values are the numbers of a Mean, each from 0 to 1, or of a Quantile.
	Values []float64
	// Population is how many units there are, for a census of a Proportion. 0 stands for as
	// many as were observed.
	Population int
	// Found is what a Count counted, and Counted says that the counting was done.
	Found   int
	Counted bool
	// Problem says why observations are lacking, as the end of "Nothing is decided: ". With
	// it nothing is decided, whatever else was observed.
	Problem string
}

// CostObservations are what was observed of a cost. They are a sample of a size fixed
// beforehand, whatever the criterion's own plan: not as many as a sequential plan
// happened to need.
type CostObservations struct {
	Metric string
	Observations
}

// tally counts the units on which the event happened.
func tally(outcomes []bool) int {
	n := 0
	for _, happened := range outcomes {
		if happened {
			n++
		}
	}
	return n
}
