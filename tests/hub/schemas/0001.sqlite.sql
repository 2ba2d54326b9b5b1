-- The hub's database as release 0.1.0 left it, schema 0001, with rows in every table. Never edited.
BEGIN TRANSACTION;
CREATE TABLE activities (
	id VARCHAR NOT NULL, 
	workspace VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	progress DOUBLE NOT NULL, 
	log JSON NOT NULL, 
	result JSON, 
	error JSON, 
	created_by VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_activities PRIMARY KEY (id), 
	CONSTRAINT fk_activities_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name)
);
INSERT INTO "activities" VALUES('11111111111111111111111111111111','shop','image-build','completed',1.0,'[{"at": "2026-01-02T03:04:05+00:00", "text": "done"}]','{"image": "digits:1"}',NULL,'ana','2026-01-02 03:04:05.678901','2026-01-02 03:04:05.678901');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE blob_links (
	owner VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	media_type VARCHAR NOT NULL, 
	CONSTRAINT pk_blob_links PRIMARY KEY (owner, digest)
);
INSERT INTO "blob_links" VALUES('uploads/shop','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',5000000000,'application/octet-stream');
INSERT INTO "blob_links" VALUES('shop/digits','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',7,'application/vnd.oci.image.index.v1+json');
CREATE TABLE desired (
	device VARCHAR NOT NULL, 
	generation INTEGER NOT NULL, 
	rollout INTEGER NOT NULL, 
	envelope BLOB NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_desired PRIMARY KEY (device, generation), 
	CONSTRAINT fk_desired_device_devices FOREIGN KEY(device) REFERENCES devices (id), 
	CONSTRAINT fk_desired_rollout_rollouts FOREIGN KEY(rollout) REFERENCES rollouts (id)
);
INSERT INTO "desired" VALUES('cam-1',1,1,X'7B227061796C6F6164223A22227D','2026-01-02 03:04:05.678901');
CREATE TABLE devices (
	id VARCHAR NOT NULL, 
	workspace VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	certificate_serial VARCHAR, 
	certificate_not_after DATETIME, 
	revoked_at DATETIME, 
	last_seen_at DATETIME, 
	hello JSON, 
	reported JSON, 
	CONSTRAINT pk_devices PRIMARY KEY (id), 
	CONSTRAINT fk_devices_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name)
);
INSERT INTO "devices" VALUES('cam-1','shop','2026-01-02 03:04:05.678901','77','2026-01-02 03:04:05.678901',NULL,'2026-01-02 03:04:05.678901','{"agent": "0.1.0", "generation": 1}','{"generation": 1, "converged": true}');
INSERT INTO "devices" VALUES('cam-2','shop','2026-01-02 03:04:05.678901',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE images (
	id INTEGER NOT NULL, 
	workspace VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	digest VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	layers JSON NOT NULL, 
	model INTEGER NOT NULL, 
	created_by VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_images PRIMARY KEY (id), 
	CONSTRAINT fk_images_model_models FOREIGN KEY(model) REFERENCES models (id), 
	CONSTRAINT fk_images_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name), 
	CONSTRAINT uq_images_workspace UNIQUE (workspace, name, version)
);
INSERT INTO "images" VALUES(1,'shop','digits',1,'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',99,'[{"title": "model", "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "size_bytes": 7}]',1,'ana','2026-01-02 03:04:05.678901');
CREATE TABLE invitations (
	token_sha256 VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	replaces BOOLEAN NOT NULL, 
	expires_at DATETIME NOT NULL, 
	used_at DATETIME, 
	CONSTRAINT pk_invitations PRIMARY KEY (token_sha256), 
	CONSTRAINT fk_invitations_device_devices FOREIGN KEY(device) REFERENCES devices (id)
);
INSERT INTO "invitations" VALUES('eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','cam-1',1,'2026-01-02 03:04:05.678901','2026-01-02 03:04:05.678901');
CREATE TABLE layers (
	"key" VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	diff_id VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	title VARCHAR NOT NULL, 
	CONSTRAINT pk_layers PRIMARY KEY ("key")
);
INSERT INTO "layers" VALUES('dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',123,'runtime');
CREATE TABLE metrics (
	id INTEGER NOT NULL, 
	run VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	step INTEGER NOT NULL, 
	value DOUBLE NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_metrics PRIMARY KEY (id), 
	CONSTRAINT fk_metrics_run_runs FOREIGN KEY(run) REFERENCES runs (id)
);
INSERT INTO "metrics" VALUES(1,'22222222222222222222222222222222','accuracy',3,0.9720001,'2026-01-02 03:04:05.678901');
INSERT INTO "metrics" VALUES(2,'22222222222222222222222222222222','accuracy',4,0.98,'2026-01-02 03:04:05.678901');
CREATE TABLE models (
	id INTEGER NOT NULL, 
	workspace VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	digest VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	framework VARCHAR NOT NULL, 
	signature JSON NOT NULL, 
	tags JSON NOT NULL, 
	run VARCHAR, 
	created_by VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_models PRIMARY KEY (id), 
	CONSTRAINT fk_models_run_runs FOREIGN KEY(run) REFERENCES runs (id), 
	CONSTRAINT fk_models_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name), 
	CONSTRAINT uq_models_workspace UNIQUE (workspace, name, version)
);
INSERT INTO "models" VALUES(1,'shop','digits',1,'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',5000000000,'onnx','{"opset": 17}','{}','22222222222222222222222222222222','ana','2026-01-02 03:04:05.678901');
CREATE TABLE pulls (
	id INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	repository VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	sent_bytes BIGINT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_pulls PRIMARY KEY (id)
);
INSERT INTO "pulls" VALUES(1,'cam-1','shop/digits','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',5000000000,'2026-01-02 03:04:05.678901');
CREATE TABLE rollouts (
	id INTEGER NOT NULL, 
	workspace VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	revision INTEGER NOT NULL, 
	manifest VARCHAR NOT NULL, 
	images JSON NOT NULL, 
	created_by VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_rollouts PRIMARY KEY (id), 
	CONSTRAINT fk_rollouts_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name), 
	CONSTRAINT uq_rollouts_workspace UNIQUE (workspace, name, revision)
);
INSERT INTO "rollouts" VALUES(1,'shop','all',1,'kind: Rollout
','{"scorer": "digits:1"}','ana','2026-01-02 03:04:05.678901');
CREATE TABLE runs (
	id VARCHAR NOT NULL, 
	workspace VARCHAR NOT NULL, 
	experiment VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	parameters JSON NOT NULL, 
	outputs JSON NOT NULL, 
	created_by VARCHAR NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT fk_runs_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name)
);
INSERT INTO "runs" VALUES('22222222222222222222222222222222','shop','digits','completed','{"lr": 0.1, "name": "caf\u00e9"}','{"model": {"digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "size_bytes": 7}}','ana','2026-01-02 03:04:05.678901','2026-01-02 03:04:05.678901');
CREATE TABLE telemetry_files (
	"key" VARCHAR NOT NULL, 
	workspace VARCHAR NOT NULL, 
	stream VARCHAR NOT NULL, 
	rows BIGINT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_telemetry_files PRIMARY KEY ("key"), 
	CONSTRAINT fk_telemetry_files_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name)
);
INSERT INTO "telemetry_files" VALUES('telemetry/shop/s/2026-01-02/33333333333333333333333333333333.parquet','shop','s',10,1234,'2026-01-02 03:04:05.678901');
CREATE TABLE telemetry_marks (
	device VARCHAR NOT NULL, 
	epoch VARCHAR NOT NULL, 
	stream VARCHAR NOT NULL, 
	mark BIGINT NOT NULL, 
	CONSTRAINT pk_telemetry_marks PRIMARY KEY (device, epoch, stream)
);
INSERT INTO "telemetry_marks" VALUES('cam-1','e1','s',9007199254740993);
CREATE TABLE telemetry_pending (
	id INTEGER NOT NULL, 
	workspace VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	stream VARCHAR NOT NULL, 
	payload BLOB NOT NULL, 
	received_at DATETIME NOT NULL, 
	CONSTRAINT pk_telemetry_pending PRIMARY KEY (id), 
	CONSTRAINT fk_telemetry_pending_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name)
);
INSERT INTO "telemetry_pending" VALUES(1,'shop','cam-1','s',X'7B2265706F6368223A226531222C226166746572223A302C226669727374223A312C2273616D706C65645F61745F7573223A5B352C365D2C22626F64696573223A5B312C325D7D','2026-01-02 03:04:05.678901');
CREATE TABLE telemetry_rejects (
	id INTEGER NOT NULL, 
	subject VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	payload BLOB NOT NULL, 
	received_at DATETIME NOT NULL, 
	CONSTRAINT pk_telemetry_rejects PRIMARY KEY (id)
);
INSERT INTO "telemetry_rejects" VALUES(1,'hl.1.cam-1.telemetry.s','not JSON',X'00FF0A','2026-01-02 03:04:05.678901');
CREATE TABLE tokens (
	secret_sha256 VARCHAR NOT NULL, 
	principal VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	workspace VARCHAR, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	CONSTRAINT pk_tokens PRIMARY KEY (secret_sha256), 
	CONSTRAINT fk_tokens_workspace_workspaces FOREIGN KEY(workspace) REFERENCES workspaces (name)
);
INSERT INTO "tokens" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','ana','Admin',NULL,'2026-01-02 03:04:05.678901',NULL);
INSERT INTO "tokens" VALUES('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','bo','Reader','shop','2026-01-02 03:04:05.678901','2026-01-02 03:04:05.678901');
CREATE TABLE workspaces (
	name VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_workspaces PRIMARY KEY (name)
);
INSERT INTO "workspaces" VALUES('shop','2026-01-02 03:04:05.678901');
INSERT INTO "workspaces" VALUES('lab','2026-01-02 03:04:05.678901');
CREATE INDEX ix_pulls_device ON pulls (device);
CREATE INDEX ix_activities_workspace ON activities (workspace);
CREATE INDEX ix_devices_workspace ON devices (workspace);
CREATE INDEX ix_runs_experiment ON runs (workspace, experiment);
CREATE INDEX ix_telemetry_files_stream ON telemetry_files (workspace, stream);
CREATE INDEX ix_desired_rollout ON desired (rollout);
CREATE INDEX ix_metrics_run ON metrics (run);
COMMIT;
