package system

import (
	"fmt"
	"time"

	"assay"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/model/remote"
)

// About tells what the system is.
type About struct {
	// Name is what the system is called in the report.
	Name string `yaml:"name" check:"required"`
	// Provider is who answers for the system.
	Provider string `yaml:"provider"`
	// Description says what the system does, for readers of the report.
	Description string `yaml:"description"`
	// IntendedUse says what the system is for, and what it is not for.
	IntendedUse string `yaml:"intended-use"`
	// Contact is whom to ask.
	Contact string `yaml:"contact"`
	// Stage is the stage of the life cycle that the system is in (ISO/IEC 22989).
	Stage assay.Stage `yaml:"stage" check:"required"`
	// Modality is the kind of data that the system decides on.
	Modality assay.Modality `yaml:"modality" check:"required"`
	// Risk is how much is at risk. It sets the catalogue's default criteria.
	Risk assay.Level `yaml:"risk" check:"required"`
}

// Circumstances are where the system runs and who may attack it.
type Circumstances struct {
	// Exposure says who can reach the system.
	Exposure Exposure `yaml:"exposure"`
	// AnnexIII lists the areas of Annex III of the AI Act that the system is used in, in words.
	AnnexIII []string `yaml:"annex-iii"`
	// Attacker rates the strongest attacker that is expected.
	Attacker Rating `yaml:"attacker"`
}

// Rating rates an attacker by the factors of the Common Methodology's attack
// potential (ISO/IEC 18045). The names of ratings are the catalogue's.
type Rating struct {
	// ElapsedTime is the time that the attacker has.
	ElapsedTime string `yaml:"elapsed-time" check:"name"`
	// Expertise is what the attacker knows of attacks and of such systems.
	Expertise string `yaml:"expertise" check:"name"`
	// Knowledge is what the attacker knows of this system.
	Knowledge string `yaml:"knowledge" check:"name"`
	// Opportunity is how easily the attacker gets at the system.
	Opportunity string `yaml:"opportunity" check:"name"`
	// Equipment is what the attacker has beyond a plain computer.
	Equipment string `yaml:"equipment" check:"name"`
	// Access is what the attacker gets to see of the model.
	Access assay.Access `yaml:"access"`
}

// Risk is something that could go wrong.
type Risk struct {
	// ID is what the risk is called elsewhere, such as R1.
	ID string `yaml:"id" check:"required name"`
	// Vulnerability is the class of attack that it comes from.
	Vulnerability assay.Vulnerability `yaml:"vulnerability" check:"required"`
	// Level is how much is at risk.
	Level assay.Level `yaml:"level" check:"required"`
	// Harm says what happens to whom.
	Harm string `yaml:"harm" check:"required"`
	// Owner is who answers for the risk.
	Owner string `yaml:"owner"`
}

// Model is a model in a file, or behind an endpoint. What it takes and gives is
// recognised; what the file does not tell, or tells wrongly, is stated here.
type Model struct {
	At string `yaml:"-"` // the field that holds it, such as models[0], for errors

	// Name is what the model is called here and in the report.
	Name string `yaml:"name" check:"required name"`
	// File is an ONNX file.
	File string `yaml:"file"`
	// Endpoint is one of the endpoints, instead of a file. What the model takes and gives is then stated there.
	Endpoint string `yaml:"endpoint"`
	// Shape is the shape of one row, without the batch.
	Shape []int64 `yaml:"shape" check:"min=1 max=268435456"`
	// Layout is how the values of a row are arranged.
	Layout model.Layout `yaml:"layout"`
	// Range is the lowest and the highest value that the model expects.
	Range *[2]float64 `yaml:"range" check:"float32"`
	// Scores names the output that holds the scores.
	Scores string `yaml:"scores"`
	// Output is what the scores mean.
	Output model.Output `yaml:"output"`
	// Classes names the classes, in the order of the scores.
	Classes []string `yaml:"classes"`
	// Tokenizer makes the numbers that a model of texts takes.
	Tokenizer *Tokenizer `yaml:"tokenizer" json:",omitempty"`
	// Detector is a detector in a file of its own, which refuses some of the model's inputs. It is attacked with the model, as one.
	Detector *Detector `yaml:"detector" json:",omitempty"`
	// Training says how the model was trained, such as a command.
	Training string `yaml:"training"`
	// Recipe says how models like it can be trained. Where it is there, what the model gives away of its records is tested with such models.
	Recipe *Recipe `yaml:"recipe" json:",omitempty"`
	// Licence is the model's licence, by its SPDX identifier, such as Apache-2.0.
	Licence string `yaml:"licence"`
	// Supplier is whom the model comes from; the system's provider if it is left out.
	Supplier string `yaml:"supplier"`
	// Signature says who vouches for the file.
	Signature *Signature `yaml:"signature"`
}

// Tokenizer makes numbers of tokens of texts.
type Tokenizer struct {
	// File is a tokenizer.json, a vocab.txt, or a YAML file of an endpoint.
	File string `yaml:"file" check:"required"`
	// Length is how many tokens a text is cut to; what tokenizer or model say if it is left out, else 512.
	Length int `yaml:"length" check:"min=0 max=65536"`
}

// Detector is a detector that takes what the model takes, and gives each row a score: above a threshold the input is refused.
// The threshold is given, or set on data.
type Detector struct {
	// File is an ONNX file.
	File string `yaml:"file" check:"required"`
	// Output names the output that holds the scores, one number for each row. It may be left out where there is no other.
	Output string `yaml:"output"`
	// Threshold is the score above which an input is refused.
	Threshold *float64 `yaml:"threshold" check:"float32"`
	// FPR is the part of the inputs that nobody attacks of which no more may be refused: the threshold is the lowest that shows it.
	FPR *float64 `yaml:"fpr" check:"above=0 below=1"`
	// Calibration are the data on which a threshold is set, which are not those that it is tested on.
	Calibration string `yaml:"calibration"`
}

// Signature is a signature of a model or of data in the format of OpenSSF Model Signing, and whose it must be.
type Signature struct {
	// File holds the signature, as assay sign writes it.
	File string `yaml:"file" check:"required"`
	// Key is the public key that is trusted, in PEM.
	Key string `yaml:"key"`
	// Roots are the certificates of authorities that are trusted, in PEM, instead of a key.
	Roots string `yaml:"roots"`
	// Identity is whose certificate it must be: its common name, or an address, host name or URI in it.
	Identity string `yaml:"identity"`
	// Folder is what was signed, where that is more than this file.
	Folder string `yaml:"folder"`
}

// Override is what recognition is to believe of the model.
func (m *Model) Override() model.Override {
	o := model.Override{Shape: m.Shape, Layout: m.Layout, Classes: m.Classes, Output: m.Output, Scores: m.Scores}
	if m.Range != nil {
		o.Range = &model.Range{Low: m.Range[0], High: m.Range[1], Basis: "stated in the system's description"}
	}
	return o
}

// Endpoint is a model behind a network interface, and how it is asked.
type Endpoint struct {
	At string `yaml:"-"` // the field that holds it, such as endpoints[0], for errors

	// Name is what the endpoint is called here.
	Name          string `yaml:"name" check:"required name"`
	remote.Config `yaml:",inline"`
}

// Data is a dataset.
type Data struct {
	At string `yaml:"-"` // the field that holds it, such as data[0], for errors

	// Name is what the data are called here and in the report.
	Name string `yaml:"name" check:"required name"`
	// File is a CSV, TSV, Parquet, NPY, NPZ, IDX or JSON Lines file, or a folder of images.
	File string `yaml:"file" check:"required"`
	// Label is the column or array with the label.
	Label string `yaml:"label"`
	// Text is the column with the texts, of data of texts.
	Text string `yaml:"text" json:",omitempty"`
	// Substitutions are what an attacker may put in the place of a word.
	Substitutions *Substitutions `yaml:"substitutions" json:",omitempty"`
	// Labels is a file of labels beside the data (IDX or NPY).
	Labels string `yaml:"labels"`
	// Role says what the data are used for; test if it is left out.
	Role Role `yaml:"role"`
	// Schema says what the data do not tell by themselves: limits, what an attacker cannot change, types.
	Schema Schema `yaml:"schema"`
	// Relations must hold between the features of a record, such as "mean radius" <= "worst radius". An attacker keeps them.
	Relations []Relation `yaml:"relations"`
	// BadRecords is how many records may be bad: they are left out and reported.
	BadRecords int `yaml:"bad-records" check:"min=0 max=1000000000"`
	// Licence is the data's licence, by its SPDX identifier, such as CC-BY-4.0.
	Licence string `yaml:"licence"`
	// Supplier is whom the data come from.
	Supplier string `yaml:"supplier"`
	// Signature says who vouches for the data.
	Signature *Signature `yaml:"signature"`
}

// Substitutions are the words that may stand for others without changing what a text says, and how words may be misspelt.
type Substitutions struct {
	// Synonyms is a file with a line "word: one, another" for each word, or a JSON object of lists.
	Synonyms string `yaml:"synonyms"`
	// Embeddings is a file of words' vectors in GloVe's text form: words that are near are synonyms too.
	Embeddings string `yaml:"embeddings"`
	// Cosine is the least cosine of near vectors; 0.7 if it is left out.
	Cosine float64 `yaml:"cosine" check:"above=0 max=1"`
	// Neighbours is how many near vectors a word has at most; 10 if it is left out.
	Neighbours int `yaml:"neighbours" check:"min=1 max=1000"`
	// Edits is by how many characters a word may be misspelt.
	Edits int `yaml:"edits" check:"min=0 max=8"`
	// Protect is a file of words that stay, one a line.
	Protect string `yaml:"protect"`
}

// Schema is a schema in a file of its own, or written in place.
type Schema struct {
	File string          `form:"text"`
	Own  *dataset.Schema `form:"fields"`
}

// Solution is a measure that is to achieve goals.
type Solution struct {
	At string `yaml:"-"` // the field that holds it, such as solutions[0], for errors

	// Name is what the solution is called here and in the report.
	Name string `yaml:"name" check:"required name"`
	// Kind says what the solution is made of; technical if it is left out.
	Kind assay.Kind `yaml:"kind"`
	// Cells are what the solution does about which vulnerability, such as evasion/prevent.
	Cells []assay.Cell `yaml:"cells" check:"required"`
	// Model is the model with the solution.
	Model string `yaml:"model"`
	// Without is the model without the solution: what the solution changes is measured against it.
	Without string `yaml:"without"`
	// Inspection is how training data are looked through for planted records, where that is the solution.
	Inspection *Inspection `yaml:"inspection" json:",omitempty"`
	// Sources are whom training data may come from, where that is the solution.
	Sources *Sources `yaml:"sources" json:",omitempty"`
	// Description says what the solution is, for readers of the report.
	Description string `yaml:"description"`
}

// Inspection is how training data are looked through for planted records, as assay inspect-data does: models are trained on them,
// and detectors look at what these make of each record. It is calibrated on the data of the goal, which are known to be clean.
type Inspection struct {
	// Data are the training data.
	Data string `yaml:"data" check:"required"`
	// Detectors are those that look; all if it is left out.
	Detectors []string `yaml:"detectors" check:"name"`
	// FPR is the part of clean records that may be suspected; 0.01 if it is left out.
	FPR float64 `yaml:"fpr" check:"above=0 below=1"`
	// Network is what is trained to look at: logistic, mlp or cnn; mlp if it is left out.
	Network string `yaml:"network" check:"name"`
	// Epochs is how often each training goes through the data; 10 if it is left out.
	Epochs int `yaml:"epochs" check:"min=1 max=100000"`
}

// Sources are whom training data may come from, and how much of them each may give. The data of the goal are the protected
// ones, which no model is trained on.
type Sources struct {
	// Data are the training data.
	Data string `yaml:"data" check:"required"`
	// Column is the column of the table that names each record's source. It is no feature: list it under drop in the schema.
	Column string `yaml:"column" check:"required"`
	// Allowed are the sources that there may be.
	Allowed []Source `yaml:"allowed" check:"required"`
}

// Source is one that training data may come from.
type Source struct {
	// Name is what the column says of its records.
	Name string `yaml:"name" check:"required"`
	// Share is the largest part of all records that it may give.
	Share float64 `yaml:"share" check:"required above=0 max=1"`
}

// Goal is a goal of the catalogue that a solution is held to. What it does not say
// is as the catalogue has it for the system's modality and risk.
type Goal struct {
	At string `yaml:"-"` // the field that holds it, such as goals[0], for errors

	// Goal is the goal's id in the catalogue, such as evasion-prevent.
	Goal string `yaml:"goal" check:"required name"`
	// Solution is the solution that is to achieve it.
	Solution string `yaml:"solution" check:"required"`
	// Data are what it is tested on.
	Data string `yaml:"data"`
	// Reason says why the catalogue's attacker or criterion is replaced. It goes into the report.
	Reason string `yaml:"reason"`
	// Attacker replaces parts of the catalogue's attacker.
	Attacker *Attacker `yaml:"attacker"`
	// Criterion replaces parts of the catalogue's criterion.
	Criterion *Criterion `yaml:"criterion"`
}

// Attacker replaces parts of the attacker that the catalogue sets for a goal.
type Attacker struct {
	// Profile is an attacker of the catalogue to begin with.
	Profile string `yaml:"profile" check:"name"`
	// Access is what the attacker gets to see of the model.
	Access *assay.Access `yaml:"access"`
	// Norm measures how far an input is changed.
	Norm *Norm `yaml:"norm"`
	// Eps is how far an input may be changed, in the norm and the unit.
	Eps *float64 `yaml:"eps" check:"min=0 max=1e9"`
	// Unit is what eps counts in: the data's own unit (raw), the feature's range or its standard deviation (std).
	Unit *Unit `yaml:"unit"`
	// Groups is how many categorical features may change.
	Groups *int `yaml:"groups" check:"min=0 max=65536"`
	// Queries is how often the model may be asked for each input.
	Queries *int64 `yaml:"queries" check:"min=1 max=1000000000"`
	// Poison is what is planted into training data.
	Poison *Poison `yaml:"poison" json:",omitempty"`
}

// Poison replaces parts of what an attacker plants into training data.
type Poison struct {
	// Families are kinds of poison, by their names in assay plant.
	Families []string `yaml:"families" check:"name"`
	// Share is the planted records as a part of all.
	Share *float64 `yaml:"share" check:"above=0 max=0.5"`
}

// Criterion replaces parts of the criterion that the catalogue sets for a goal. What is
// measured, and on which side of the limit it must be, is the goal's own.
type Criterion struct {
	// Limit is what the metric is held against.
	Limit *float64 `yaml:"limit" check:"min=0 max=1e9"`
	// Confidence is that of each one-sided bound.
	Confidence *float64 `yaml:"confidence" check:"min=0.5 below=1"`
	// Sampling says how many units are observed.
	Sampling *Sampling `yaml:"sampling"`
	// Costs are limits to what the solution may cost. One replaces the catalogue's of the same metric; the others stay.
	Costs []Cost `yaml:"costs"`
	// Checks must pass for the decision to be valid, besides the catalogue's.
	Checks []string `yaml:"checks" check:"name"`
}

// Sampling replaces parts of how many units are observed.
type Sampling struct {
	// Rule is fixed (n units, then one decision), sequential (until it is decided, at most n) or census (every unit there is).
	Rule *criteria.Rule `yaml:"rule"`
	// N is the number of units of a fixed plan, or the most of a sequential one.
	N *int `yaml:"n" check:"min=1 max=1000000000"`
	// Power is how likely the plan is to decide, if the metric is as assumed.
	Power *float64 `yaml:"power" check:"above=0 below=1"`
	// Assumed is the value of the metric that is hoped for.
	Assumed *float64 `yaml:"assumed" check:"min=0 max=1e9"`
}

// Cost is a limit to what a solution may cost.
type Cost struct {
	// Metric is what is measured, such as clean-accuracy-loss.
	Metric string `yaml:"metric" check:"required name"`
	// Relation is the side of the limit on which the metric must be.
	Relation assay.Relation `yaml:"relation" check:"required"`
	// Limit is what the metric is held against.
	Limit float64 `yaml:"limit" check:"required min=0 max=1e9"`
	// Confidence is that of the one-sided bound; the criterion's if it is left out.
	Confidence float64 `yaml:"confidence" check:"min=0.5 below=1"`
}

// Exclusion leaves a cell of the matrix out.
type Exclusion struct {
	// Cell is what is left out, such as confidentiality/detect.
	Cell assay.Cell `yaml:"cell" check:"required"`
	// Reason says why. It goes into the report.
	Reason string `yaml:"reason" check:"required"`
	// ApprovedBy is who approved it.
	ApprovedBy string `yaml:"approved-by" check:"required"`
	// Date is when it was approved.
	Date Date `yaml:"date" check:"required"`
}

// Record is a document that shows what the organization does, such as a record of
// trainings or a review of access rights.
type Record struct {
	// Name is what the record is called here and in the report.
	Name string `yaml:"name" check:"required name"`
	// File is the document.
	File string `yaml:"file" check:"required"`
	// Cells are what the record is about, such as evasion/respond.
	Cells []assay.Cell `yaml:"cells" check:"required"`
	// Owner is who keeps the record.
	Owner string `yaml:"owner" check:"required"`
	// Date is that of the record.
	Date Date `yaml:"date" check:"required"`
}

// Date is a day, written as in 2026-11-01.
type Date struct{ time.Time }

// Pattern is how a date is written.
func (Date) Pattern() string { return `^\d{4}-\d{2}-\d{2}$` }

// UnmarshalText reads a day.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is no day of the calendar: write one as in 2026-11-01", text)
	}
	d.Time = t
	return nil
}

// MarshalText writes the day as UnmarshalText reads it.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Date) String() string { return d.Format(time.DateOnly) }
