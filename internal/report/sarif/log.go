package sarif

// What of SARIF 2.1.0 is written (OASIS Standard, 2020, with errata 01 of 2023), by the
// names and sections of the specification. The library that there is brings a validator
// for all of the format into the program; it reads and validates what is written here in the tests.

type sarifLog struct {
	Schema  string `json:"$schema"`
	Version string `json:"version"`
	Runs    []run  `json:"runs"`
}

// run is section 3.14.
type run struct {
	Tool              tool         `json:"tool"`
	AutomationDetails details      `json:"automationDetails"`
	Invocations       []invocation `json:"invocations"`
	Artifacts         []artifact   `json:"artifacts"`
	Results           []result     `json:"results"`
	ColumnKind        string       `json:"columnKind"`
	Language          string       `json:"language"`
	NewlineSequences  []string     `json:"newlineSequences"`
}

type tool struct {
	Driver driver `json:"driver"`
}

type driver struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Language string `json:"language"`
	Rules    []rule `json:"rules"`
}

// rule is a reportingDescriptor, section 3.49.
type rule struct {
	ID               string         `json:"id"`
	ShortDescription message        `json:"shortDescription"`
	FullDescription  message        `json:"fullDescription"`
	Help             message        `json:"help"`
	Properties       ruleProperties `json:"properties"`
}

type ruleProperties struct {
	Tags []string `json:"tags"`
}

type message struct {
	Text string `json:"text"`
}

type details struct {
	ID string `json:"id"`
}

// invocation is section 3.20.
type invocation struct {
	ExecutionSuccessful        bool           `json:"executionSuccessful"`
	EndTimeUTC                 string         `json:"endTimeUtc"`
	ToolExecutionNotifications []notification `json:"toolExecutionNotifications,omitempty"`
}

type notification struct {
	Level   string  `json:"level"`
	Message message `json:"message"`
}

// artifact is section 3.24.
type artifact struct {
	Location    artifactLocation  `json:"location"`
	Length      int64             `json:"length"`
	Hashes      map[string]string `json:"hashes,omitempty"`
	Description message           `json:"description"`
}

type artifactLocation struct {
	URI   string `json:"uri"`
	Index int    `json:"index"`
}

// result is section 3.27.
type result struct {
	RuleID              string            `json:"ruleId"`
	RuleIndex           int               `json:"ruleIndex"`
	Kind                string            `json:"kind"`
	Level               string            `json:"level"`
	Message             message           `json:"message"`
	Locations           []location        `json:"locations,omitempty"`
	RelatedLocations    []location        `json:"relatedLocations,omitempty"`
	PartialFingerprints map[string]string `json:"partialFingerprints"`
	Properties          properties        `json:"properties"`
}

type location struct {
	PhysicalLocation physicalLocation `json:"physicalLocation"`
	Message          *message         `json:"message,omitempty"`
}

type physicalLocation struct {
	ArtifactLocation artifactLocation `json:"artifactLocation"`
	Region           *region          `json:"region,omitempty"`
}

type region struct {
	StartLine int `json:"startLine"`
}

// properties are a decision's figures, under the names of Assay's own JSON.
type properties struct {
	Decision      string   `json:"decision"`
	Outcome       string   `json:"outcome"`
	Solution      string   `json:"solution"`
	Vulnerability string   `json:"vulnerability"`
	Function      string   `json:"function"`
	Metric        string   `json:"metric"`
	Relation      string   `json:"relation"`
	Estimate      *float64 `json:"estimate"`
	Lower         *float64 `json:"lower"`
	Upper         *float64 `json:"upper"`
	Limit         float64  `json:"limit"`
	Confidence    float64  `json:"confidence"`
	N             int      `json:"n"`
	Needed        int      `json:"needed"`
}
