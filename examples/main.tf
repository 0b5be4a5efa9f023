# The bucket, who may write to it (CI), and who may read it (the pods of the cluster).
terraform {
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.0"
    }
  }
}

variable "project" {
  description = "ID of the Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of the cluster: a node downloads whole archives."
  type        = string
}

variable "namespace" {
  description = "Kubernetes namespace of the RayService."
  type        = string
  default     = "shop"
}

variable "service_account" {
  description = "Kubernetes service account of its pods."
  type        = string
  default     = "shop"
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_storage_bucket" "code" {
  name                        = "${var.project}-code"
  project                     = var.project
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # No rule deletes by age: a base of newer archives may be old. `lazyimport gc` knows.
  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}

resource "google_service_account" "deploy" {
  project      = var.project
  account_id   = "deploy"
  display_name = "CI that pushes code for Ray"
}

resource "google_storage_bucket_iam_member" "deploy" {
  bucket = google_storage_bucket.code.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deploy.member
}

# Workload identity: the pods have no key.
resource "google_storage_bucket_iam_member" "workers" {
  bucket = google_storage_bucket.code.name
  role   = "roles/storage.objectViewer"
  member = join("/", [
    "principal://iam.googleapis.com/projects/${data.google_project.this.number}",
    "locations/global/workloadIdentityPools/${var.project}.svc.id.goog",
    "subject/ns/${var.namespace}/sa/${var.service_account}",
  ])
}

output "store" {
  description = "Value of LAZYIMPORT_STORE."
  value       = "${google_storage_bucket.code.url}/code"
}
