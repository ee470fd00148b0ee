// Package report holds the one document that an assessment ends in, and renders it:
// a page for people, and JSON, SARIF and JUnit for programs.
package report

import (
	"time"

	"assay"
	"assay/internal/criteria"
)

// Version is the version of the document's schema. A field is never given another
// meaning under the same version.
const Version = "assay-report/1"

// Document is the outcome of an assessment, with all that a reader needs to judge it.
type Document struct {
	Schema     string      `json:"schema"` // Version
	Run        string      `json:"run"`    // identifies the run: a digest of its inputs and plan
	Created    time.Time   `json:"created"`
	Locked     *Lock       `json:"locked,omitempty"` // when the criteria were fixed
	Program    Program     `json:"program"`
	System     System      `json:"system"`
	Metrics    []Metric    `json:"metrics,omitempty"` // how to show those that are not proportions
	Decisions  []Decision  `json:"decisions"`
	Matrix     []Cell      `json:"matrix"` // all 25 cells, by vulnerability
	Tests      []Test      `json:"tests"`  // evidence of the decisions
	Catalogue  Catalogue   `json:"catalogue"`
	Inputs     []Input     `json:"inputs"`
	Void       []string    `json:"void,omitempty"` // why the evidence, or a part of it, is void
	Reproduce  []string    `json:"reproduce"`      // commands
	Statements []Statement `json:"statements,omitempty"`
}

// Lock says when the criteria were fixed, and which they were.
type Lock struct {
	Time   time.Time `json:"time"`
	SHA256 string    `json:"sha256"`
}

// Metric says how a metric is shown. One that a document does not list is a proportion
// and is called by its name.
type Metric struct {
	Name  string `json:"name"`           // such as "latency-p99"
	Title string `json:"title"`          // such as "latency, 99th percentile"
	Unit  string `json:"unit,omitempty"` // such as "ms"; none is a proportion, shown in percent
}

// Program is what made the document.
type Program struct {
	Version string `json:"version"`
	Runtime string `json:"runtime"` // version of ONNX Runtime
	Go      string `json:"go"`
	System  string `json:"system"` // such as linux/amd64
}

// System is the system that was assessed, as its owner describes it.
type System struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Provider    string         `json:"provider,omitempty"`
	Stage       assay.Stage    `json:"stage"`
	Modality    assay.Modality `json:"modality"`
	Risk        assay.Level    `json:"risk"`
}

// Decision is one decision on one solution and goal.
type Decision struct {
	ID            string              `json:"id"` // unique in the document, fit for an anchor
	Goal          string              `json:"goal"`
	Title         string              `json:"title"` // of the goal, one line
	Text          string              `json:"text"`  // what must hold, one sentence
	Vulnerability assay.Vulnerability `json:"vulnerability"`
	Function      assay.Function      `json:"function"`
	Solution      string              `json:"solution"`
	Kind          assay.Kind          `json:"kind"`
	criteria.Decision
	Sampling *criteria.Sampling `json:"sampling,omitempty"`
	Test     string             `json:"test,omitempty"` // the id of its test
	Ablation *Change            `json:"ablation,omitempty"`
	Articles []string           `json:"articles,omitempty"` // such as "AI Act Art. 15(5)"
	Mappings []ID               `json:"mappings,omitempty"`
}

// ID is an id in another catalogue, which is named with its version.
type ID struct {
	Catalogue string `json:"catalogue"` // such as "MITRE ATLAS"
	Version   string `json:"version"`
	ID        string `json:"id"`
	Title     string `json:"title,omitempty"`
	URL       string `json:"url,omitempty"` // a link where it begins with https://
}

// Change is a metric without and with the solution, on the same units and seeds.
type Change struct {
	Metric     string  `json:"metric"`
	Without    float64 `json:"without"`
	With       float64 `json:"with"`
	Difference float64 `json:"difference"` // with less without
	Lower      float64 `json:"lower"`      // of the difference
	Upper      float64 `json:"upper"`
	Confidence float64 `json:"confidence"`
	N          int     `json:"n"`
}

// Cell is one of the 25 cells.
type Cell struct {
	Cell      assay.Cell `json:"cell"`
	State     CellState  `json:"state"`
	Decisions []string   `json:"decisions,omitempty"` // ids
	Solutions []string   `json:"solutions,omitempty"` // that claim to cover it
	Reason    string     `json:"reason,omitempty"`    // why it is excused
	By        string     `json:"by,omitempty"`        // who excused it
	Date      string     `json:"date,omitempty"`
}

// CellState says how far a cell is.
type CellState string

// The states of a cell.
const (
	Open    CellState = "open"    // nothing is said of it
	Covered CellState = "covered" // a solution claims it, nothing is decided
	Decided CellState = "decided" // there are decisions
	Excused CellState = "excused" // left out, with a reason and a name
)

// Test is the evidence of one or several decisions: what was observed on one model.
type Test struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Model    string    `json:"model"`
	Data     string    `json:"data"`
	Attacker []Fact    `json:"attacker"` // such as {"norm","Linf"}, in words for people
	Methods  []Method  `json:"methods"`
	Plots    []Plot    `json:"plots,omitempty"`
	Broken   []Broken  `json:"broken,omitempty"` // units, the most easily broken first
	Examples []Example `json:"examples,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // what was seen of single units, a line each
	N        int       `json:"n"`
	Correct  int       `json:"correct"` // units that the model gets right untouched
	Queries  int64     `json:"queries"`
	Seed     uint64    `json:"seed"`
	Rerun    string    `json:"rerun"` // the command
}

// Fact is a name and a value, for people.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Method is a method of a test, and how it fared.
type Method struct {
	Name      string `json:"name"`
	Reference string `json:"reference"`
	Settings  []Fact `json:"settings,omitempty"`
	Successes int    `json:"successes"`
	N         int    `json:"n"`
	Queries   int64  `json:"queries"`
}

// Plot is rates by budget: curves that share their axes.
type Plot struct {
	Title  string   `json:"title"`            // such as "robust accuracy"
	Metric string   `json:"metric,omitempty"` // what the rates are; the limits of decisions on it are drawn
	Budget string   `json:"budget"`           // what the horizontal axis is, with its unit
	At     *float64 `json:"at,omitempty"`     // the budget that is decided on
	Note   string   `json:"note,omitempty"`   // what a reader must know of the curves, a sentence
	Scale  Scale    `json:"scale,omitempty"`  // of both axes; linear where empty
	Joint  bool     `json:"joint,omitempty"`  // a curve's bounds hold at all of its points at once, and not at each by itself
	Curves []Curve  `json:"curves"`
}

// Scale is how the axes of a plot are divided.
type Scale string

// Logarithmic is for rates of which the small ones count. Budgets are above 0 then, and points are joined by lines.
const Logarithmic Scale = "logarithmic"

// Broken is a unit that was broken, and by which of the test's methods.
type Broken struct {
	Unit     int64    `json:"unit"` // number of the record in its source
	Distance float64  `json:"distance"`
	Methods  []string `json:"methods"`
}

// Curve is a rate by budget, with its interval at each point.
type Curve struct {
	Name       string  `json:"name"`                 // the method, or "worst case"
	Confidence float64 `json:"confidence,omitempty"` // of each of a point's bounds
	Points     []Point `json:"points"`               // by budget
}

// Point is a rate at a budget.
type Point struct {
	Budget    float64 `json:"budget"`
	Rate      float64 `json:"rate"`
	Lower     float64 `json:"lower"`
	Upper     float64 `json:"upper"`
	Successes int     `json:"successes"`
	N         int     `json:"n"`
}

// Example is an input that the model gets wrong after a small change.
type Example struct {
	Unit     int64     `json:"unit"` // number of the record in its source
	Method   string    `json:"method"`
	Truth    string    `json:"truth"`
	Answer   string    `json:"answer"` // of the model, to the changed input
	Distance float64   `json:"distance"`
	Queries  int64     `json:"queries"`
	Changes  []Feature `json:"changes,omitempty"` // of a table, the largest first
	Image    *Pictures `json:"image,omitempty"`
}

// Feature is a change of one feature, in the user's own units.
type Feature struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Pictures are PNG files: the input, the changed input, and their difference, amplified.
type Pictures struct {
	Clean         []byte  `json:"clean"`
	Adversarial   []byte  `json:"adversarial"`
	Difference    []byte  `json:"difference"`
	Amplification float64 `json:"amplification"`
}

// Catalogue says which catalogue goals come from, and what of it the user replaced.
type Catalogue struct {
	Version   string     `json:"version"`
	Overrides []Override `json:"overrides,omitempty"`
}

// Override is something that the user replaced, and why.
type Override struct {
	What   string `json:"what"` // such as "goal evasion-prevent: limit"
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
	Where  string `json:"where"` // file and line
}

// Input is a file that the run rests on.
type Input struct {
	Role   string `json:"role"` // such as "model hardened" where a test's model is "hardened"
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Statement is something that readers must know, such as that no presumption of conformity is claimed.
type Statement struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}
