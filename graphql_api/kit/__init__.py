"""What every room stands on: database, ids, errors, files, pagination. It knows nothing of workflows."""
