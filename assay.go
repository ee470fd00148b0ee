// Package assay holds the words in which Assay decides whether the measures that
// protect an AI system are good enough: the classes of vulnerability, the functions
// of a measure, what a decision can be, and what an observation is. They are closed
// sets, each with its text form. The package does no I/O and imports only the
// standard library.
package assay

// Vulnerability is one of the five classes of attack that Article 15(5) of the EU AI
// Act names.
type Vulnerability string

// The classes of vulnerability.
const (
	DataPoisoning   Vulnerability = "data-poisoning"
	ModelPoisoning  Vulnerability = "model-poisoning"
	Evasion         Vulnerability = "evasion"
	Confidentiality Vulnerability = "confidentiality"
	ModelFlaw       Vulnerability = "model-flaw"
)

// Vulnerabilities gives all classes, in the Act's order.
func Vulnerabilities() []Vulnerability {
	return []Vulnerability{DataPoisoning, ModelPoisoning, Evasion, Confidentiality, ModelFlaw}
}

// Function is one of the five things that a measure does about a vulnerability.
type Function string

// The functions of measures.
const (
	Prevent Function = "prevent" // an attack cannot start, or cannot succeed
	Detect  Function = "detect"  // an attempt or its effect becomes known
	Respond Function = "respond" // an immediate act limits the harm
	Resolve Function = "resolve" // the cause is removed, a good state restored and shown again
	Control Function = "control" // what remains is limited, and the measures are shown to keep working
)

// Functions gives all functions, in the Act's order.
func Functions() []Function { return []Function{Prevent, Detect, Respond, Resolve, Control} }

// Cell is one of the 25 combinations of a vulnerability and a function, written as
// in "evasion/prevent".
type Cell struct {
	Vulnerability Vulnerability
	Function      Function
}

// Cells gives all 25 cells, by vulnerability.
func Cells() []Cell {
	var cells []Cell
	for _, v := range Vulnerabilities() {
		for _, f := range Functions() {
			cells = append(cells, Cell{v, f})
		}
	}
	return cells
}

// Outcome is what a decision says of a solution and a goal.
type Outcome string

// The outcomes of a decision.
const (
	Adequate      Outcome = "adequate"       // the criterion is shown to be met
	Inadequate    Outcome = "inadequate"     // the criterion is shown not to be met
	Undecided     Outcome = "undecided"      // too little was observed to show either
	Invalid       Outcome = "invalid"        // the test could not have found the failure, or its evidence is void
	NotApplicable Outcome = "not-applicable" // left out, for a recorded reason
)

// Outcomes gives all outcomes, the best first.
func Outcomes() []Outcome {
	return []Outcome{Adequate, Inadequate, Undecided, Invalid, NotApplicable}
}

// Relation says on which side of its limit a metric must be.
type Relation string

// The relations of a metric to its limit.
const (
	AtMost  Relation = "at-most"
	AtLeast Relation = "at-least"
)

// Relations gives both relations.
func Relations() []Relation { return []Relation{AtMost, AtLeast} }

// Holds reports whether a value is on the right side of a limit.
func (r Relation) Holds(value, limit float64) bool {
	if r == AtMost {
		return value <= limit
	}
	return value >= limit
}

// Modality is the kind of data that a system decides on.
type Modality string

// The kinds of data.
const (
	Tabular Modality = "tabular"
	Image   Modality = "image"
	Text    Modality = "text"
)

// Modalities gives all kinds of data.
func Modalities() []Modality { return []Modality{Tabular, Image, Text} }

// Level is how much is at risk. Goals ask more, of stronger attackers, at a higher level.
type Level string

// The levels of risk.
const (
	Low    Level = "low"
	Medium Level = "medium"
	High   Level = "high"
)

// Levels gives all levels, the lowest first.
func Levels() []Level { return []Level{Low, Medium, High} }

// Access is what an attacker gets to see of a model.
type Access string

// The kinds of access, the most first.
const (
	Gradients Access = "gradients" // the model itself: white-box
	Scores    Access = "scores"    // a number for each class: black-box
	Labels    Access = "labels"    // the winning class alone: black-box, decision-based
)

// Accesses gives all kinds of access, the most first.
func Accesses() []Access { return []Access{Gradients, Scores, Labels} }

// Includes reports whether one who has access a can do what needs access b.
func (a Access) Includes(b Access) bool {
	rank := map[Access]int{Gradients: 3, Scores: 2, Labels: 1}
	return rank[a] >= rank[b] && rank[b] > 0
}

// Stage is a stage in the life cycle of an AI system, after ISO/IEC 22989:2022, 6.1.
type Stage string

// The stages of the life cycle.
const (
	Inception    Stage = "inception"
	Development  Stage = "development"
	Verification Stage = "verification"
	Deployment   Stage = "deployment"
	Operation    Stage = "operation"
	Reevaluation Stage = "re-evaluation"
	Retirement   Stage = "retirement"
)

// Stages gives all stages in their order.
func Stages() []Stage {
	return []Stage{Inception, Development, Verification, Deployment, Operation, Reevaluation, Retirement}
}

// Kind says what a solution is made of.
type Kind string

// The kinds of solutions.
const (
	Technical      Kind = "technical"
	Organizational Kind = "organizational"
)

// Kinds gives both kinds of solutions.
func Kinds() []Kind { return []Kind{Technical, Organizational} }
