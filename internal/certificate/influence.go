package certificate

// Influence bounds what poisoned training records gain against a training that is random: whatever has at most the
// probability Rate without them has at most Upper with them, over the training's own random numbers.
type Influence struct {
	Budget int     `json:"budget"` // records that were added
	Rate   float64 `json:"rate"`
	Upper  float64 `json:"upper"`
}
